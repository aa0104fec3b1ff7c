package io.gantry.checkpoint;

/**
 * Something about capturing or recreating failed. The message is a sentence: what was being done to which process or
 * descriptor, what the kernel answered, and what would help.
 */
public class CheckpointException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public CheckpointException(String sentence) {
    super(sentence);
  }

  public CheckpointException(String sentence, Throwable cause) {
    super(sentence, cause);
  }
}
