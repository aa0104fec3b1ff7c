package io.gantry.checkpoint;

/**
 * One reason why a container cannot be carried.
 *
 * @param pid the process (as the host counts), or 0 when it concerns the whole container or host
 * @param descriptor the file descriptor, or -1 when none is meant
 * @param kind the field's name for the thing, such as {@code "io_uring"} or {@code "TCP connection"}
 * @param sentence what was found and what would help
 */
public record Finding(int pid, int descriptor, String kind, String sentence) {
  /** The kind of a file that the destination lacks, or has in another version. */
  public static final String FILE = "file";

  @Override
  public String toString() {
    var where = new StringBuilder();
    if (pid > 0) {
      where.append("process ").append(pid);
    }
    if (descriptor >= 0) {
      where.append(where.isEmpty() ? "" : ", ").append("descriptor ").append(descriptor);
    }
    if (!where.isEmpty()) {
      where.append(", ");
    }
    return where + kind + ": " + sentence;
  }
}
