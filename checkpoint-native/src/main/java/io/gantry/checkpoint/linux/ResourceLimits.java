package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;

/** {@code prlimit(2)} on other processes; needs {@code CAP_SYS_RESOURCE}. Any thread. Numbers: {@code asm-generic/resource.h}. */
public final class ResourceLimits {
  /** How many kinds of limits there are ({@code RLIM_NLIMITS}). */
  public static final int COUNT = 16;

  private ResourceLimits() {}

  /** Both are unsigned; all bits set is "no limit". */
  public record Limit(long soft, long hard) {}

  public static Limit get(int pid, int resource) {
    var scratch = Scratch.get();
    Libc.check(
        Libc.syscall(SyscallNumber.PRLIMIT64, pid, resource, 0, scratch.address(), 0, 0),
        () -> "prlimit(" + pid + ", " + resource + ")");
    return new Limit(scratch.get(ValueLayout.JAVA_LONG, 0), scratch.get(ValueLayout.JAVA_LONG, 8));
  }

  public static void set(int pid, int resource, Limit limit) {
    var scratch = Scratch.get();
    scratch.set(ValueLayout.JAVA_LONG, 0, limit.soft());
    scratch.set(ValueLayout.JAVA_LONG, 8, limit.hard());
    Libc.check(
        Libc.syscall(SyscallNumber.PRLIMIT64, pid, resource, scratch.address(), 0, 0, 0),
        () -> "prlimit(" + pid + ", " + resource + ", " + limit + ")");
  }
}
