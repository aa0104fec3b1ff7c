package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;

/** {@code get_robust_list(2)}: the list of futexes that the kernel releases when a thread dies. Any thread. */
public final class RobustList {
  private RobustList() {}

  /** @param head address of the list, 0 when none is registered; @param length of the head structure in bytes */
  public record Registration(long head, long length) {}

  public static Registration of(int tid) {
    var scratch = Scratch.get();
    Libc.check(
        Libc.syscall(SyscallNumber.GET_ROBUST_LIST, tid, scratch.address(), scratch.address() + 8),
        () -> "get_robust_list(" + tid + ")");
    return new Registration(scratch.get(ValueLayout.JAVA_LONG, 0), scratch.get(ValueLayout.JAVA_LONG, 8));
  }
}
