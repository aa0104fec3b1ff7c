package io.gantry.checkpoint.resource;

/**
 * Who has a descriptor table: a process, or a thread with one of its own, which {@code /proc} shows under its id as well.
 *
 * @param pid as the host counts
 * @param nsPid as the container's pid namespace counts
 * @param thread whether it is a thread with a table of its own
 */
public record ProcessRef(int pid, int nsPid, boolean thread) {
  /** A process. */
  public ProcessRef(int pid, int nsPid) {
    this(pid, nsPid, false);
  }
}
