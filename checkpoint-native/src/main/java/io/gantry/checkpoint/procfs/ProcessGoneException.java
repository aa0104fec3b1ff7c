package io.gantry.checkpoint.procfs;

import io.gantry.checkpoint.CheckpointException;

/** A process ended while it was being looked at. */
public final class ProcessGoneException extends CheckpointException {
  private static final long serialVersionUID = 1L;

  public ProcessGoneException(int pid, Throwable cause) {
    super("process " + pid + " has ended", cause);
  }
}
