package io.gantry.checkpoint.linux;

import java.lang.foreign.MemoryLayout;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;

/**
 * {@code wait4(2)} and {@code waitid(2)} for one child or tracee. Never for "any child" of the whole process: that would take exits away from Java's
 * own reaper of processes.
 */
public final class Wait {
  /** No change to report. */
  public static final int NOTHING = -1;
  /** Neither child nor tracee of this process (any more). */
  public static final int GONE = -2;

  private static final int WNOHANG = 1;
  private static final int WEXITED = 4;
  private static final int WNOWAIT = 0x0100_0000;
  private static final int WALL = 0x4000_0000;

  /** {@code __WALL} for a {@code wait4} that somebody else is made to call: children of every kind. */
  public static final int ALL_KINDS = WALL;
  /** {@code __WNOTHREAD}: only children and tracees of the calling thread. */
  private static final int WNOTHREAD = 0x2000_0000;
  private static final int P_PID = 1;
  private static final int CLD_EXITED = 1;

  /** The part of {@code siginfo_t} that {@code waitid} fills in ({@code asm-generic/siginfo.h}). */
  static final StructLayout SIGINFO_CHILD =
      MemoryLayout.structLayout(
              ValueLayout.JAVA_INT.withName("si_signo"),
              ValueLayout.JAVA_INT.withName("si_errno"),
              ValueLayout.JAVA_INT.withName("si_code"),
              MemoryLayout.paddingLayout(4),
              ValueLayout.JAVA_INT.withName("si_pid"),
              ValueLayout.JAVA_INT.withName("si_uid"),
              ValueLayout.JAVA_INT.withName("si_status"),
              MemoryLayout.paddingLayout(100))
          .withName("siginfo_t");

  private Wait() {}

  /** Takes a change of state without blocking: a wait status as in {@code wait(2)}, {@link #NOTHING} or {@link #GONE}. */
  public static int poll(int tid) {
    return wait4(tid, WALL | WNOHANG);
  }

  /** As {@link #poll}, but blocks. Only where the kernel is certain to answer soon, such as after {@code SIGKILL}. */
  public static int block(int tid) {
    return wait4(tid, WALL);
  }

  /**
   * A change of state of a child or tracee.
   *
   * @param tid whose; 0 when there is no change, and also when the calling thread has neither child nor tracee
   * @param status as in {@code wait(2)}
   */
  public record Change(int tid, int status) {}

  /** Takes the next change of state of any child or tracee of the calling thread, without blocking. */
  public static Change pollOfThisThread() {
    var scratch = Scratch.get();
    while (true) {
      long result = Libc.syscall(SyscallNumber.WAIT4, -1, scratch.address(), WALL | WNOHANG | WNOTHREAD, 0, 0, 0);
      if (result >= 0) {
        return new Change((int) result, result == 0 ? NOTHING : scratch.get(ValueLayout.JAVA_INT, 0));
      }
      if (result == -Errno.ECHILD) {
        return new Change(0, GONE);
      }
      if (result != -Errno.EINTR) {
        throw new KernelException("wait4(any of this thread)", (int) -result);
      }
    }
  }

  private static int wait4(int tid, int options) {
    var scratch = Scratch.get();
    while (true) {
      long result = Libc.syscall(SyscallNumber.WAIT4, tid, scratch.address(), options, 0, 0, 0);
      if (result == tid) {
        return scratch.get(ValueLayout.JAVA_INT, 0);
      }
      if (result == 0) {
        return NOTHING;
      }
      if (result == -Errno.ECHILD) {
        return GONE;
      }
      if (result != -Errno.EINTR) {
        throw new KernelException("wait4(" + tid + ")", (int) -result);
      }
    }
  }

  /**
   * Exit status of a child, when it has ended.
   *
   * @param reap whether to take it (else it stays a zombie)
   * @return 0 to 255, 128 plus the signal that killed it, {@link #NOTHING} while it lives, {@link #GONE} when it is no child
   */
  public static int exitStatus(int pid, boolean reap) {
    var scratch = Scratch.get();
    scratch.set(ValueLayout.JAVA_INT, 16, 0);
    long result =
        Libc.syscall(SyscallNumber.WAITID, P_PID, pid, scratch.address(), WEXITED | WNOHANG | (reap ? 0 : WNOWAIT), 0, 0);
    if (result == -Errno.ECHILD) {
      return GONE;
    }
    Libc.check(result, () -> "waitid(" + pid + ")");
    if (scratch.get(ValueLayout.JAVA_INT, 16) == 0) {
      return NOTHING;
    }
    int status = scratch.get(ValueLayout.JAVA_INT, 24);
    return scratch.get(ValueLayout.JAVA_INT, 8) == CLD_EXITED ? status : 128 + status;
  }

  /** Whether the status says stopped (by a signal, an event, or both). */
  public static boolean stopped(int status) {
    return status >= 0 && (status & 0xff) == 0x7f;
  }

  /** Whether the status says ended, by itself or by a signal. */
  public static boolean ended(int status) {
    return status >= 0 && !stopped(status);
  }

  /** The signal of a stop. */
  public static int stopSignal(int status) {
    return status >> 8 & 0xff;
  }

  /** The {@code PTRACE_EVENT_*} of a stop, or 0. */
  public static int event(int status) {
    return status >> 16;
  }
}
