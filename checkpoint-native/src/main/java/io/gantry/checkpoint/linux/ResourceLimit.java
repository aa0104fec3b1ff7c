package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;

/** {@code prlimit(2)} on any process. Numbers of the limits: {@code asm-generic/resource.h}. Any thread. */
public final class ResourceLimit {
  public static final int NPROC = 6;
  public static final int NOFILE = 7;
  public static final int MEMLOCK = 8;
  public static final int SIGPENDING = 11;

  private ResourceLimit() {}

  /** As below; 0 or minus the error number. */
  public static int trySet(int pid, int resource, long soft, long hard) {
    // struct rlimit64: current, maximum
    var at = Scratch.get();
    at.set(ValueLayout.JAVA_LONG, 0, soft);
    at.set(ValueLayout.JAVA_LONG, 8, hard);
    return (int) Libc.syscall(SyscallNumber.PRLIMIT64, pid, resource, at.address(), 0, 0, 0);
  }

  /**
   * Sets a limit.
   *
   * @param soft unsigned; all bits set is "no limit"
   * @param hard as above; raising it needs {@code CAP_SYS_RESOURCE} in the first user namespace, and so does any limit of another
   *     user's process
   */
  public static void set(int pid, int resource, long soft, long hard) {
    Libc.check(
        trySet(pid, resource, soft, hard),
        () ->
            "prlimit(process %d, resource %d, %s, %s)"
                .formatted(pid, resource, Long.toUnsignedString(soft), Long.toUnsignedString(hard)));
  }
}
