package io.gantry.checkpoint.tracee;

/**
 * A process that has ended and that its parent has not reaped.
 *
 * @param pid as the host counts
 * @param nsPid in the innermost pid namespace
 * @param parentPid as the host counts
 */
public record ZombieProcess(int pid, int nsPid, int parentPid) {}
