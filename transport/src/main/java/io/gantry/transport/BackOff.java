package io.gantry.transport;

import java.util.concurrent.locks.LockSupport;

/**
 * How a thread waits while a stream is open: briefly by spinning, then by yielding (the other side may want this core), then by
 * resting. A rest is short ({@link #SHORT_PARK_NS}) as long as something happened within about {@link #LIVELY_NS}, as is the case
 * between the parts of a migration's pause, and longer after that. Both stay, with the kernel's timer slack, under the
 * millisecond that the last message of a migration may take. For one thread.
 */
final class BackOff {
  private static final int SPINS = 8;
  private static final int YIELDS = 24;
  private static final long FIRST_PARK_NS = 1_000;
  private static final long SHORT_PARK_NS = 100_000;
  private static final long LONG_PARK_NS = 400_000;
  private static final long LIVELY_NS = 20_000_000;

  private int turns;
  private long parkNs = FIRST_PARK_NS;
  private long restedNs;

  void reset() {
    turns = 0;
    parkNs = FIRST_PARK_NS;
    restedNs = 0;
  }

  /** Waits a little unless there was work. */
  void idle(int work) {
    if (work > 0) {
      reset();
    } else if (turns < SPINS) {
      turns++;
      Thread.onSpinWait();
    } else if (turns < SPINS + YIELDS) {
      turns++;
      Thread.yield();
    } else {
      LockSupport.parkNanos(this, parkNs);
      restedNs += parkNs;
      parkNs = Math.min(2 * parkNs, restedNs < LIVELY_NS ? SHORT_PARK_NS : LONG_PARK_NS);
    }
  }
}
