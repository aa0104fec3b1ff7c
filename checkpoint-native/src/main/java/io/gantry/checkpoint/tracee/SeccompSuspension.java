package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.Ptrace;

/**
 * Seccomp filters do not act in tracees of ours, because they know nothing of the calls that we run there. The kernel allows that only to tracers that
 * are under no filter themselves ({@code kernel/ptrace.c}, {@code check_ptrace_options}).
 */
public final class SeccompSuspension {
  private static final boolean POSSIBLE = TaskStatus.read("self").map(TaskStatus::seccomp).orElse(0) == 0;

  /** The ptrace option, or 0 where it cannot be had. Children that are born traced inherit it. */
  static final int OPTION = POSSIBLE ? Ptrace.OPTION_SUSPEND_SECCOMP : 0;

  private SeccompSuspension() {}

  /** Whether this agent may suspend, read and install filters of others. */
  public static boolean isPossible() {
    return POSSIBLE;
  }
}
