package io.gantry.checkpoint.linux;

import java.lang.foreign.MemoryLayout;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;

/** {@code poll(2)} on one descriptor. Constants: {@code asm-generic/poll.h}. */
public final class Poll {
  public static final int IN = 1;
  public static final int PRI = 2;
  public static final int OUT = 4;
  public static final int ERR = 8;
  public static final int HUP = 16;

  static final StructLayout POLLFD =
      MemoryLayout.structLayout(
              ValueLayout.JAVA_INT.withName("fd"),
              ValueLayout.JAVA_SHORT.withName("events"),
              ValueLayout.JAVA_SHORT.withName("revents"))
          .withName("pollfd");

  private Poll() {}

  /** Waits for one of the events; returns those that are there, 0 when the time is over or a signal came. */
  public static int await(int fd, int events, int timeoutMs) {
    var scratch = Scratch.get();
    scratch.set(ValueLayout.JAVA_INT, 0, fd);
    scratch.set(ValueLayout.JAVA_SHORT, 4, (short) events);
    scratch.set(ValueLayout.JAVA_SHORT, 6, (short) 0);
    long result = Libc.syscall(SyscallNumber.POLL, scratch.address(), 1, timeoutMs);
    if (result == -Errno.EINTR) {
      return 0;
    }
    Libc.check(result, () -> "poll(descriptor " + fd + ")");
    return scratch.get(ValueLayout.JAVA_SHORT, 6);
  }
}
