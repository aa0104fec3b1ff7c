package io.gantry.checkpoint;

import io.gantry.checkpoint.linux.CallingThread;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntFunction;

/**
 * Results that a thread of its own works out, in their order, ahead of or beside the one that uses them: of thousands of threads, or descriptors, half of what is to
 * be found out needs no tracer. Closing it waits for the end of that thread. Used by one thread.
 *
 * @param <T> what each result is
 */
public final class Ahead<T> implements AutoCloseable {
  /** Looks before each wait, which takes longer than most results. */
  private static final int LOOKS = 100;

  private static final long WAIT_NS = 20_000;

  private final AtomicReferenceArray<T> results;
  private final IntFunction<T> work;
  private final Optional<Thread> thread;
  private volatile RuntimeException failed;
  private volatile boolean wanted = true;

  private Ahead(Optional<String> name, int count, IntFunction<T> work) {
    this.results = new AtomicReferenceArray<>(count);
    this.work = work;
    this.thread = name.map(called -> new CallingThread(called, this::workOut));
    thread.ifPresent(Thread::start);
  }

  /**
   * Begins.
   *
   * @param count how many
   * @param work makes one of them, by its place; must not use ptrace, and returns in a time that is limited
   */
  public static <T> Ahead<T> begin(String name, int count, IntFunction<T> work) {
    return new Ahead<>(Optional.of(name), count, work);
  }

  /** Where a second thread would cost more than it gains: each is made when it is asked for. */
  public static <T> Ahead<T> notAtAll(int count, IntFunction<T> work) {
    return new Ahead<>(Optional.empty(), count, work);
  }

  private void workOut() {
    try {
      for (int i = 0; i < results.length() && wanted; i++) {
        results.set(i, work.apply(i));
      }
    } catch (RuntimeException thrown) {
      failed = thrown;
    }
  }

  /**
   * One of them, as soon as it is there.
   *
   * @throws RuntimeException what the work has thrown, for this one or for one before
   */
  public T get(int index) {
    if (thread.isEmpty()) {
      return work.apply(index);
    }
    for (int turn = 1; ; turn++) {
      // Before the result: once it has ended, what is not there will not come.
      boolean ended = !thread.get().isAlive();
      T result = results.get(index);
      if (result != null) {
        return result;
      }
      if (failed != null) {
        throw failed;
      }
      if (ended) {
        throw new IllegalStateException(thread.get().getName() + " has ended without result " + index);
      }
      if (turn % LOOKS == 0) {
        LockSupport.parkNanos(WAIT_NS);
      } else {
        Thread.onSpinWait();
      }
    }
  }

  @Override
  public void close() {
    wanted = false;
    boolean interrupted = false;
    while (thread.filter(Thread::isAlive).isPresent()) {
      try {
        thread.get().join();
      } catch (InterruptedException again) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
