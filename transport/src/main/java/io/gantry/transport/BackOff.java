package io.gantry.transport;

import java.util.concurrent.locks.LockSupport;

/**
 * How a stream's thread waits: briefly by spinning, then by yielding (the other side may want this core), then by resting.
 * A rest is at most {@link DriverPump#OPEN_PARK_NS}, which with the kernel's timer slack keeps the wait under 0.2 ms.
 */
final class BackOff {
  private static final int SPINS = 8;
  private static final int YIELDS = 24;
  private static final long FIRST_PARK_NS = 1_000;

  private int turns;
  private long parkNs = FIRST_PARK_NS;

  void reset() {
    turns = 0;
    parkNs = FIRST_PARK_NS;
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
      LockSupport.parkNanos(parkNs);
      parkNs = Math.min(2 * parkNs, DriverPump.OPEN_PARK_NS);
    }
  }
}
