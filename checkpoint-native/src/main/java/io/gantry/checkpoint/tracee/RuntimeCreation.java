package io.gantry.checkpoint.tracee;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** How an OCI runtime is told to create a container, whose first process then waits for the runtime's {@code start}. */
public interface RuntimeCreation {
  /** The runtime's program, as an absolute path, and its arguments. */
  List<String> command();

  Map<String, String> environment();

  /** File that gets what the runtime writes to its standard output and error. */
  Path output();

  /** A sentence about its failure. */
  String failure(int exitStatus);

  /** The container's first process, as the host counts; after success. */
  int initPid();

  /**
   * Called once when the container's first process is there, in its namespaces and with nothing of its own done: before any hook
   * of the bundle. It waits meanwhile.
   *
   * @param pid as the host counts
   */
  default void born(int pid) {}
}
