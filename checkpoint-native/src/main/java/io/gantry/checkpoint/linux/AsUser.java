package io.gantry.checkpoint.linux;

import java.util.function.Supplier;

/**
 * Acts as another user with all the rights that this process has. Rights are not always enough: on a file system that was mounted
 * in a user namespace nobody can make a file whose user that namespace does not know ({@code EOVERFLOW}: {@code may_create},
 * fs/namei.c), and the settings of an ipc namespace are for its root alone ({@code ipc_permissions}, ipc/ipc_sysctl.c). Any
 * thread; what is changed meanwhile belongs to that thread.
 *
 * @param uid effective user and owner of new files, as this process counts
 * @param gid effective group
 */
public record AsUser(int uid, int gid) {
  /** This process's own user, as everywhere else. */
  public static final AsUser AGENT = new AsUser(0, 0);

  private static final int PR_GET_SECUREBITS = 27;
  private static final int PR_SET_SECUREBITS = 28;
  /** {@code SECBIT_NO_SETUID_FIXUP}, {@code linux/securebits.h}: the rights stay whoever one is. */
  private static final long NO_SETUID_FIXUP = 1 << 2;

  /** Does some work as that user. */
  public <T> T call(Supplier<T> work) {
    if (equals(AGENT)) {
      return work.get();
    }
    long before = Libc.check(Libc.syscall(SyscallNumber.PRCTL, PR_GET_SECUREBITS, 0, 0), () -> "prctl(PR_GET_SECUREBITS)");
    setSecurebits(before | NO_SETUID_FIXUP);
    try {
      become(uid, gid);
      try {
        return work.get();
      } finally {
        become(AGENT.uid, AGENT.gid);
      }
    } finally {
      setSecurebits(before);
    }
  }

  /** The same for work without a result. */
  public void run(Runnable work) {
    call(
        () -> {
          work.run();
          return true;
        });
  }

  /** By system calls, since the C library would change all threads; the ids for files follow the effective ones. */
  private static void become(int uid, int gid) {
    Libc.check(Libc.syscall(SyscallNumber.SETRESGID, -1, gid, -1), () -> "setresgid(effective " + gid + ")");
    Libc.check(Libc.syscall(SyscallNumber.SETRESUID, -1, uid, -1), () -> "setresuid(effective " + uid + ")");
  }

  private static void setSecurebits(long bits) {
    Libc.check(Libc.syscall(SyscallNumber.PRCTL, PR_SET_SECUREBITS, bits, 0), () -> "prctl(PR_SET_SECUREBITS, " + bits + ")");
  }
}
