package io.gantry.node.cluster;

/**
 * One thing that goes wrong during one move.
 *
 * @param phase the source's phase at whose beginning it happens, by the name that the progress of a move has
 * @param delayMs how much later, in milliseconds; 0 for at once
 * @param fault what happens
 * @param side to whom
 */
record FireCase(String phase, int delayMs, Fault fault, Side side) {
  /** Whose agent, link, disk or container it is. */
  enum Side {
    SOURCE,
    DESTINATION,
    /** A node that has nothing to do with the move but is a member of the cluster. */
    BYSTANDER
  }

  /** What goes wrong. All of it ends by itself or is ended by the driver: agents are started again, links healed, disks emptied. */
  enum Fault {
    /** The agent gets {@code kill -9} and is started again a second later. */
    KILL,
    /** The agent stands still for three seconds. */
    STOP,
    /** The agent is told to end cleanly and is started again. */
    RESTART,
    /** Nothing comes from or goes to this host for four seconds. */
    CUT,
    /** Nothing that this host sends arrives, for four seconds. */
    CUT_SENDING,
    /** The file system of the agent's state directory is full for three seconds. */
    FULL,
    /** The container's first process gets {@code kill -9}. */
    KILL_CONTAINER
  }

  @Override
  public String toString() {
    return fault + " of the " + side.name().toLowerCase(java.util.Locale.ROOT) + " at " + phase + (delayMs == 0 ? "" : " + " + delayMs + " ms");
  }
}
