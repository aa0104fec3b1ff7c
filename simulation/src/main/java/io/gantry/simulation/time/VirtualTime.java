package io.gantry.simulation.time;

import java.time.Duration;
import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * A clock that stands still while something happens and jumps to the next thing that is due. Things that are due at the same
 * instant happen in an order that depends on the seed and on nothing else. One thread: the one that calls {@link #step}.
 */
public final class VirtualTime {
  private static final int CAPACITY_FIRST = 256;

  /** Something that will happen. */
  public static final class Due {
    private final long atNs;
    private final long rank;
    private final Runnable task;
    private int index;

    private Due(long atNs, long rank, Runnable task) {
      this.atNs = atNs;
      this.rank = rank;
      this.task = task;
    }

    /** When it is due. */
    public long atNs() {
      return atNs;
    }

    /** Whether it will still happen. */
    public boolean isPending() {
      return index >= 0;
    }
  }

  private Due[] heap = new Due[CAPACITY_FIRST];
  private int size;
  private boolean isAtOnce;
  private long nowNs;
  private long steps;
  private SplittableRandom order = new SplittableRandom(0);

  /** Nanoseconds since the last {@link #restart}. */
  public long nowNs() {
    return nowNs;
  }

  /** How many things have happened since the last {@link #restart}. */
  public long steps() {
    return steps;
  }

  /** How many things are to happen. */
  public int pending() {
    return size;
  }

  /** Forgets everything that was to happen and begins anew at 0. */
  public void restart(long seed) {
    for (var i = 0; i < size; i++) {
      heap[i].index = -1;
    }
    Arrays.fill(heap, 0, size, null);
    size = 0;
    nowNs = 0;
    steps = 0;
    order = new SplittableRandom(seed);
  }

  /** As soon as possible, in an order with other such things that the seed decides. */
  public Due now(Runnable task) {
    return add(nowNs, task);
  }

  /** Whether from now on {@link #execute} does not wait for a step. */
  void atOnce(boolean now) {
    isAtOnce = now;
  }

  /** For executors. */
  void execute(Runnable task) {
    if (isAtOnce) {
      task.run();
    } else {
      now(task);
    }
  }

  /** @param delayNs from now; less than 0 counts as 0 */
  public Due after(long delayNs, Runnable task) {
    return add(nowNs + Math.max(delayNs, 0), task);
  }

  /** @param delay from now */
  public Due after(Duration delay, Runnable task) {
    return after(delay.toNanos(), task);
  }

  /** It will not happen. Does nothing when it has happened. */
  public boolean cancel(Due due) {
    if (due.index < 0) {
      return false;
    }
    removeAt(due.index);
    return true;
  }

  /** Lets the next thing happen. @return whether there was one */
  public boolean step() {
    if (size == 0) {
      return false;
    }
    var due = heap[0];
    removeAt(0);
    nowNs = due.atNs;
    steps++;
    due.task.run();
    return true;
  }

  /** When the next thing is due, or {@link Long#MAX_VALUE}. */
  public long nextNs() {
    return size == 0 ? Long.MAX_VALUE : heap[0].atNs;
  }

  /** Lets everything happen that is due at this very instant, and what follows from it at once. */
  public void drainNow() {
    while (nextNs() <= nowNs) {
      step();
    }
  }

  private Due add(long atNs, Runnable task) {
    var due = new Due(atNs, order.nextLong(), task);
    if (size == heap.length) {
      heap = Arrays.copyOf(heap, size * 2);
    }
    place(due, size++);
    up(due);
    return due;
  }

  private void removeAt(int index) {
    heap[index].index = -1;
    var last = heap[--size];
    heap[size] = null;
    if (index != size) {
      place(last, index);
      up(last);
      down(last);
    }
  }

  private void place(Due due, int index) {
    heap[index] = due;
    due.index = index;
  }

  private void up(Due due) {
    var index = due.index;
    while (index > 0) {
      var parent = heap[(index - 1) >>> 1];
      if (!isBefore(due, parent)) {
        break;
      }
      var above = parent.index;
      place(parent, index);
      index = above;
    }
    place(due, index);
  }

  private void down(Due due) {
    var index = due.index;
    while (true) {
      var child = 2 * index + 1;
      if (child >= size) {
        break;
      }
      if (child + 1 < size && isBefore(heap[child + 1], heap[child])) {
        child++;
      }
      if (!isBefore(heap[child], due)) {
        break;
      }
      place(heap[child], index);
      index = child;
    }
    place(due, index);
  }

  private static boolean isBefore(Due one, Due other) {
    return one.atNs != other.atNs ? one.atNs < other.atNs : one.rank < other.rank;
  }
}
