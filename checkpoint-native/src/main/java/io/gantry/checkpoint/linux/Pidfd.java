package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;
import java.util.OptionalInt;

/** {@code pidfd_open(2)}, {@code pidfd_getfd(2)}, {@code pidfd_send_signal(2)}. Descriptors are plain numbers; close them with {@link Fd#close}. */
public final class Pidfd {
  /** The descriptor means one thread, not the process ({@code linux/pidfd.h}, 6.9). */
  public static final int THREAD = Fd.O_EXCL;

  /** {@code PIDFD_GET_INFO} with a structure of 64 bytes (6.15), its flag for the status, and where both lie ({@code linux/pidfd.h}). */
  private static final long PIDFD_GET_INFO = 0xc040_ff0bL;

  private static final int INFO_BYTES = 64;
  private static final long PIDFD_INFO_EXIT = 1 << 3;
  private static final int EXIT_CODE_AT = 60;

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

  /** How a process that was waited for has ended, as {@code wait(2)} gives it; empty when the kernel does not tell. */
  public static OptionalInt endOf(int pidfd) {
    var at = Scratch.get();
    at.asSlice(0, INFO_BYTES).fill((byte) 0);
    at.set(ValueLayout.JAVA_LONG, 0, PIDFD_INFO_EXIT);
    long result = Fd.ioctl(pidfd, PIDFD_GET_INFO, at);
    boolean told = result == 0 && (at.get(ValueLayout.JAVA_LONG, 0) & PIDFD_INFO_EXIT) != 0;
    return told ? OptionalInt.of(at.get(ValueLayout.JAVA_INT, EXIT_CODE_AT)) : OptionalInt.empty();
  }
}
