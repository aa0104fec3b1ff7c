package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.tracee.RemoteTask;
import java.util.function.Consumer;

/** Stops one running process for a moment so that something can be done in it. */
@FunctionalInterface
public interface Armer {
  /**
   * Stops a thread of the process, runs {@code work} on the tracer thread, and lets the process go on, whatever {@code work} throws.
   *
   * @param pid as the host counts
   * @throws io.gantry.checkpoint.procfs.ProcessGoneException when the process has ended
   */
  void whileStopped(int pid, Consumer<RemoteTask> work);
}
