package io.gantry.actors;

import com.fasterxml.jackson.annotation.JsonProperty;

/**
 * One process of a container.
 *
 * @param pid as the host counts
 * @param containerPid as the container counts
 * @param name as the kernel keeps it ({@code /proc/PID/comm})
 * @param threads how many there are
 * @param residentBytes memory that is present, shared memory included
 * @param cpuPercent processor time used since the last look, in percent of one processor
 */
public record ProcessInfo(
    @JsonProperty("pid") int pid,
    @JsonProperty("container_pid") int containerPid,
    @JsonProperty("name") String name,
    @JsonProperty("threads") int threads,
    @JsonProperty("resident_bytes") long residentBytes,
    @JsonProperty("cpu_percent") double cpuPercent) {}
