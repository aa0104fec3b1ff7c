package io.gantry.checkpoint.memory;

/**
 * A live process of a container.
 *
 * @param pid as the host counts
 * @param nsPid as the container counts
 * @param nsPpid its parent as the container counts; 0 for the container's first process
 */
public record ProcessRef(int pid, int nsPid, int nsPpid) {}
