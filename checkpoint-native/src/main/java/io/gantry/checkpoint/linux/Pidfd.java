package io.gantry.checkpoint.linux;

/** {@code pidfd_open(2)}, {@code pidfd_getfd(2)}, {@code pidfd_send_signal(2)}. Descriptors are plain numbers; close them with {@link Fd#close}. */
public final class Pidfd {
  /** The descriptor means one thread, not the process ({@code linux/pidfd.h}, 6.9). */
  public static final int THREAD = Fd.O_EXCL;

  private Pidfd() {}

  /** A close-on-exec descriptor of a process. It polls readable when the process has ended. */
  public static int open(int pid) {
    return open(pid, 0);
  }

  public static int open(int pid, int flags) {
    return (int) Libc.check(Libc.syscall(SyscallNumber.PIDFD_OPEN, pid, flags, 0), () -> "pidfd_open(" + pid + ")");
  }

  /** Our own, close-on-exec copy of a descriptor of that process. */
  public static int getfd(int pidfd, int descriptor) {
    return (int)
        Libc.check(
            Libc.syscall(SyscallNumber.PIDFD_GETFD, pidfd, descriptor, 0),
            () -> "pidfd_getfd(" + pidfd + ", descriptor " + descriptor + ")");
  }

  /** Sends a signal; returns 0 or minus the error number ({@code ESRCH}: it has ended). */
  public static int sendSignal(int pidfd, int signal) {
    return (int) Libc.syscall(SyscallNumber.PIDFD_SEND_SIGNAL, pidfd, signal, 0, 0, 0, 0);
  }
}
