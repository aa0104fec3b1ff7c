package io.gantry.checkpoint.state;

/** One act of building a process tree. Ids count as the container's pid namespace does. */
public sealed interface TreeStep {
  /**
   * The stub {@code parent} creates the stub {@code child} with exactly that id.
   *
   * @param parent 0 when the child is the container's first process, which the launcher creates
   * @param helper the child is only there to lend its session or group and leaves again by {@link ExitHelper}; it should be
   *     created without an exit signal
   */
  record Fork(int parent, int child, boolean helper) implements TreeStep {}

  /** The stub calls {@code setsid(2)}: session and group get its id. */
  record SetSid(int pid) implements TreeStep {}

  /** The stub calls {@code setpgid(2)} for itself. */
  record SetPgid(int pid, int pgid) implements TreeStep {}

  /**
   * The stub, which leads its session, makes a pseudo-terminal its controlling terminal. Those of its session that are born later inherit it, and there
   * is no other way for them to get it.
   *
   * @param terminal number of the pseudo-terminal plus one
   */
  record TakeTerminal(int pid, int terminal) implements TreeStep {}

  /** The stub gives up its controlling terminal; if it leads its session, that of all of the session. */
  record LeaveTerminal(int pid) implements TreeStep {}

  /**
   * The stub calls {@code prctl(PR_SET_CHILD_SUBREAPER)}, so that the children of a helper that exits next become its own. Always
   * switched off again before the plan ends; the process's real setting is restored with the rest of its state.
   */
  record Subreaper(int pid, boolean on) implements TreeStep {}

  /** The helper exits and {@code parent} waits for it; the helper's children go to the nearest subreaper above or to process 1. */
  record ExitHelper(int pid, int parent) implements TreeStep {}

  /** The stub's process has ended at the source: the stub exits and {@code parent} waits for it, as with {@link ExitHelper}. */
  record EndStub(int pid, int parent) implements TreeStep {}

  /**
   * The stub cannot become what its process is now (the process is another one, or has another session or parent that the
   * kernel cannot give to an existing process). It is killed, {@code parent} waits for it, and a {@link Fork} for the same id follows; its
   * memory must be sent again. Its descendants are discarded before it.
   */
  record Discard(int pid, int parent) implements TreeStep {}

  /** The stub ends and stays a zombie, as the process at the source is one. Only in the last plan. */
  record BecomeZombie(int pid) implements TreeStep {}
}
