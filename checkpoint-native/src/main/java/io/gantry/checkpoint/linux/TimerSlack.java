package io.gantry.checkpoint.linux;

/** {@code prctl(PR_SET_TIMERSLACK)} of the calling thread: how late the kernel may end its timed waits. Inherited by children. */
public final class TimerSlack {
  /** Option number ({@code linux/prctl.h}). */
  public static final int PR_SET_TIMERSLACK = 29;

  /** The kernel's own initial value. */
  public static final long DEFAULT_NS = 50_000;

  private TimerSlack() {}

  public static void set(long nanoseconds) {
    Libc.check(
        Libc.syscall(SyscallNumber.PRCTL, PR_SET_TIMERSLACK, nanoseconds, 0), () -> "prctl(PR_SET_TIMERSLACK, " + nanoseconds + ")");
  }
}
