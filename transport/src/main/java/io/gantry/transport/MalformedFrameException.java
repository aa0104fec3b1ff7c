package io.gantry.transport;

/** A frame that no correct sender of this stream makes. */
final class MalformedFrameException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  MalformedFrameException(String message) {
    // No stack trace: a hostile sender must not make us collect one per datagram, and the sentence says it all.
    super(message, null, false, false);
  }
}
