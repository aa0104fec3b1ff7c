package io.gantry.checkpoint.linux;

/** {@code kcmp(2)} of address spaces. Any thread. */
public final class KcmpVm {
  /** {@code linux/kcmp.h}. */
  private static final int KCMP_VM = 1;

  private KcmpVm() {}

  /** Whether two processes run in one address space, as after vfork. False when one of them has ended. */
  public static boolean same(int pidA, int pidB) {
    return Libc.syscall(SyscallNumber.KCMP, pidA, pidB, KCMP_VM) == 0;
  }
}
