package io.gantry.checkpoint.memory;

/**
 * A process in a round.
 *
 * @param forkFrom from whose stub its stub is cloned in this round, or 0 when it has one already
 */
record Visit(ProcessRef process, SpaceTracker tracker, int forkFrom) {}
