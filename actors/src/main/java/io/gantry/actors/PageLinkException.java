package io.gantry.actors;

import io.gantry.checkpoint.CheckpointException;

/** A stream of pages broke or could not be opened. The message is a sentence: which peer, what happened, what would help. */
public final class PageLinkException extends CheckpointException {
  private static final long serialVersionUID = 1L;

  public PageLinkException(String sentence) {
    super(sentence);
  }

  public PageLinkException(String sentence, Throwable cause) {
    super(sentence, cause);
  }
}
