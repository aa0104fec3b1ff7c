package io.gantry.node.workload;

import java.util.concurrent.locks.LockSupport;

/**
 * Looks at the clock all the time and remembers when it could not: what the program itself sees of a pause. One thread of its own
 * writes; {@link #snapshot()} may be called from any thread.
 */
final class GapClock implements Runnable {
  /** Shorter than any pause of interest, and long enough to leave the processor to others. */
  private static final long TICK_NS = 100_000;

  /** Gaps below are the scheduler's, not a pause. */
  private static final long GAP_NS_MIN = 1_000_000;

  private static final int GAPS_KEPT = 64;

  private final long[] endNs = new long[GAPS_KEPT];
  private final long[] gapNs = new long[GAPS_KEPT];
  private long gaps;
  private long longestNs;
  private volatile boolean running = true;

  /**
   * @param longestNs the longest gap of all
   * @param gaps how many gaps of at least a millisecond there were
   * @param endNs when the last ones ended ({@link System#nanoTime()}), oldest first
   * @param gapNs how long they were
   */
  record Snapshot(long longestNs, long gaps, long[] endNs, long[] gapNs) {}

  @Override
  public void run() {
    long before = System.nanoTime();
    while (running) {
      LockSupport.parkNanos(TICK_NS);
      long now = System.nanoTime();
      if (now - before >= GAP_NS_MIN) {
        record(now, now - before);
      }
      before = now;
    }
  }

  private synchronized void record(long now, long gap) {
    endNs[(int) (gaps % GAPS_KEPT)] = now;
    gapNs[(int) (gaps % GAPS_KEPT)] = gap;
    gaps++;
    longestNs = Math.max(longestNs, gap);
  }

  synchronized Snapshot snapshot() {
    int count = (int) Math.min(gaps, GAPS_KEPT);
    long[] ends = new long[count];
    long[] lengths = new long[count];
    for (int i = 0; i < count; i++) {
      int slot = (int) ((gaps - count + i) % GAPS_KEPT);
      ends[i] = endNs[slot];
      lengths[i] = gapNs[slot];
    }
    return new Snapshot(longestNs, gaps, ends, lengths);
  }

  /** Forgets what happened while the program was starting. */
  synchronized void reset() {
    gaps = 0;
    longestNs = 0;
  }

  void stop() {
    running = false;
  }
}
