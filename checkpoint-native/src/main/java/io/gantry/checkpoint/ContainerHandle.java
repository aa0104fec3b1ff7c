package io.gantry.checkpoint;

import java.nio.file.Path;

/**
 * What a host must remember to find a container again after its agent was restarted.
 *
 * @param name the container's name
 * @param initPid process 1 of the container, as the host counts
 * @param initStartTicks start time of that process (field 22 of {@code /proc/PID/stat}), so that a reused id is not mistaken for it
 * @param cgroup absolute path of its directory in the cgroup v2 hierarchy
 * @param directory the host's own directory for this container
 */
public record ContainerHandle(String name, int initPid, long initStartTicks, Path cgroup, Path directory) {}
