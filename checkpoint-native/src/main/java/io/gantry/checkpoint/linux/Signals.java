package io.gantry.checkpoint.linux;

import java.util.List;

/** Signal numbers and sets on x86-64 ({@code asm/signal.h}), and sending them. */
public final class Signals {
  public static final int SIGHUP = 1;
  public static final int SIGINT = 2;
  public static final int SIGILL = 4;
  public static final int SIGTRAP = 5;
  public static final int SIGBUS = 7;
  public static final int SIGKILL = 9;
  public static final int SIGUSR1 = 10;
  public static final int SIGSEGV = 11;
  public static final int SIGTERM = 15;
  public static final int SIGCHLD = 17;
  public static final int SIGCONT = 18;
  public static final int SIGSTOP = 19;
  public static final int SIGTSTP = 20;
  public static final int SIGTTIN = 21;
  public static final int SIGTTOU = 22;
  public static final int SIGURG = 23;
  public static final int SIGWINCH = 28;

  /** The two real-time signals that glibc and musl use for cancelling threads and changing ids. */
  public static final List<Integer> OF_THE_C_LIBRARY = List.of(32, 33);

  /** Highest signal number. */
  public static final int MAX = 64;

  private Signals() {}

  /** The bit of a signal in a 64-bit set, as the kernel keeps them. */
  public static long bit(int signal) {
    return 1L << signal - 1;
  }

  /** {@code kill(2)}: 0 or minus the error number. */
  public static int kill(int pid, int signal) {
    return (int) Libc.syscall(SyscallNumber.KILL, pid, signal, 0);
  }

  /** {@code tgkill(2)}: 0 or minus the error number. */
  public static int tgkill(int pid, int tid, int signal) {
    return (int) Libc.syscall(SyscallNumber.TGKILL, pid, tid, signal);
  }
}
