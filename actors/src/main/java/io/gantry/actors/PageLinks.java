package io.gantry.actors;

import io.gantry.checkpoint.PageReceiver;
import io.gantry.checkpoint.PageSink;
import java.time.Duration;

/**
 * Streams of pages between hosts, as the migrations use them. Failures are {@link PageLinkException}s whose message is a
 * sentence.
 * Implemented over {@code transport}, and by a stand-in in simulations.
 */
public interface PageLinks extends AutoCloseable {
  /**
   * Opens the receiving end of one migration's stream and returns at once; the sender may connect from now on.
   *
   * @param migration id of the migration; the stream accepts no other sender
   * @param receiver called in the order in which things were sent, on one thread of the stream's own
   * @param listener told once how the stream ended, on that same thread, after the last call to {@code receiver}
   */
  Receiving receive(String migration, PageReceiver receiver, StreamListener listener);

  /**
   * Connects to an endpoint. Blocks until the receiver is there or {@code timeout} has passed.
   *
   * @param migration the id that the receiver was opened with
   * @param timeout for connecting
   */
  Sending send(String migration, Endpoint endpoint, Duration timeout);

  @Override
  void close();

  /**
   * Where a receiving end waits.
   *
   * @param host IP address
   * @param port UDP or TCP port, 1 to 65535
   * @param token must be shown by the sender; opaque
   */
  record Endpoint(String host, int port, byte[] token) {}

  /** The receiving end. */
  interface Receiving extends AutoCloseable {
    Endpoint endpoint();

    /**
     * Gives the stream up if it has not ended yet; the sender learns that it broke, the listener nothing more. Waits for a
     * call to the receiver that
     * is under way. From any thread; idempotent.
     */
    @Override
    void close();
  }

  /** The sending end. One thread at a time, except {@link #close()}. */
  interface Sending extends PageSink, AutoCloseable {
    /** Everything was sent: flushes and marks the end; the receiver's listener then learns success. */
    void end();

    /**
     * Without {@link #end()} before it, the receiver learns failure. From any thread, also to break a call that hangs;
     * idempotent.
     */
    @Override
    void close();
  }

  /** Learns how a received stream ended. */
  @FunctionalInterface
  interface StreamListener {
    /**
     * @param failure a sentence, or empty when the sender has marked the end and everything has been handed over
     */
    void ended(String failure);
  }
}
