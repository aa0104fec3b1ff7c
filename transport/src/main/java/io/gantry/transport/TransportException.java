package io.gantry.transport;

/** A stream, or the transport as a whole, cannot do what it was asked to; the message is a sentence that says why. */
public final class TransportException extends RuntimeException {
  /** @param message what was being done, to which stream, and what went wrong */
  public TransportException(String message) {
    super(message);
  }

  /**
   * @param message what was being done, to which stream, and what went wrong
   * @param cause what was thrown underneath
   */
  public TransportException(String message, Throwable cause) {
    super(message, cause);
  }
}
