package io.gantry.actors;

/** A node's actor system did not start. The message is a sentence: what, the system's answer, what would help. */
public final class NodeStartException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public NodeStartException(String sentence, Throwable cause) {
    super(sentence, cause);
  }
}
