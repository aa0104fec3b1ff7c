package io.gantry.checkpoint;

/**
 * One process of a container, as {@code /proc} shows it now.
 *
 * @param pid as the host counts
 * @param containerPid as the container counts
 * @param name {@code comm}, at most 15 bytes
 * @param threads how many there are
 * @param residentBytes {@code VmRSS}, shared memory included
 * @param cpuNs processor time of all threads so far, in steps of a clock tick (10 ms)
 */
public record ProcessFacts(int pid, int containerPid, String name, int threads, long residentBytes, long cpuNs) {}
