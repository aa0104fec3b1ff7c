package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.procfs.Link;
import java.util.List;

/**
 * A descriptor of a process that may be of shared memory.
 *
 * @param number in the process
 * @param target what {@code /proc/PID/fd/N} points to
 */
public record OpenMemory(int number, String target) {
  /** All descriptors of a process; empty when it has ended. */
  static List<OpenMemory> all(int pid) {
    return Link.descriptors(pid).stream()
        .map(descriptor -> new OpenMemory(descriptor, Link.read(pid, "fd/" + descriptor).orElse("")))
        .toList();
  }
}
