package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.Wait;
import java.util.concurrent.locks.LockSupport;

/** Waits for changes of state with a deadline, which the kernel's own blocking waits do not have. */
final class StopWait {
  /** A short batch is over within microseconds: this many looks cost less than one timed wait. */
  private static final int LOOKS = 24;

  private static final int SHORT_WAITS = 200;
  private static final long SHORT_NS = 10_000;
  private static final long LONG_NS = 200_000;

  private StopWait() {}

  /** A wait status, {@link Wait#GONE}, or {@link Wait#NOTHING} when the time {@code endNs} (as {@link System#nanoTime}) has come. */
  static int await(int tid, long endNs) {
    for (int turn = 0; ; turn++) {
      int status = Wait.poll(tid);
      if (status != Wait.NOTHING) {
        return status;
      }
      if (turn >= LOOKS) {
        if (System.nanoTime() >= endNs) {
          return Wait.NOTHING;
        }
        pause(turn - LOOKS);
      } else {
        Thread.onSpinWait();
      }
    }
  }

  /** A timed wait that gets longer when nothing happens. */
  static void pause(int turn) {
    LockSupport.parkNanos(turn < SHORT_WAITS ? SHORT_NS : LONG_NS);
  }
}
