package io.gantry.checkpoint.linux;

import io.gantry.checkpoint.CheckpointException;

/** A system call failed. The message names the call, its arguments, the errno and what it means. */
public final class KernelException extends CheckpointException {
  private static final long serialVersionUID = 1L;

  private final int errno;

  /** @param call the call with its arguments as a person would write them, such as {@code "ptrace(SEIZE, 4711)"}; @param errno positive */
  public KernelException(String call, int errno) {
    super(call + " failed: " + Errno.describe(errno));
    this.errno = errno;
  }

  /** Positive error number, see {@link Errno}. */
  public int errno() {
    return errno;
  }
}
