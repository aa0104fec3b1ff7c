package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;

/** {@code timerfd_gettime(2)} on our copy of another process's timer. Any thread. */
public final class TimerFd {
  /** {@code TFD_TIMER_ABSTIME}, {@code TFD_TIMER_CANCEL_ON_SET} ({@code linux/timerfd.h}). */
  public static final int ABSTIME = 1;

  /** Sets the number of expirations that were not read yet: {@code _IOW('T', 0, u64)} ({@code linux/timerfd.h}). */
  public static final long TFD_IOC_SET_TICKS = 0x40085400L;

  private TimerFd() {}

  /** @param valueNs time until the next expiration, 0 when disarmed; @param intervalNs period, 0 when it fires once */
  public record Setting(long valueNs, long intervalNs) {}

  /**
   * The time that is left. For a periodic timer with unread expirations the kernel moves the next expiration into the future
   * and counts what has passed, which is what reading it would do as well ({@code do_timerfd_gettime} in {@code fs/timerfd.c}).
   */
  public static Setting setting(int fd) {
    var at = Scratch.get();
    Libc.check(Libc.syscall(SyscallNumber.TIMERFD_GETTIME, fd, at.address(), 0), () -> "timerfd_gettime(descriptor " + fd + ")");
    return new Setting(
        at.get(ValueLayout.JAVA_LONG, 16) * 1_000_000_000L + at.get(ValueLayout.JAVA_LONG, 24),
        at.get(ValueLayout.JAVA_LONG, 0) * 1_000_000_000L + at.get(ValueLayout.JAVA_LONG, 8));
  }
}
