package io.gantry.transport;

import io.aeron.ExclusivePublication;
import io.aeron.Publication;
import io.aeron.logbuffer.BufferClaim;
import java.time.Duration;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A connected Aeron publication with the waiting that belongs to it: claims with back-pressure, flushes, and the sentences for
 * what can go wrong. Used by one thread at a time between {@link #enter} and {@link #exit}; {@link #close} from any.
 */
final class Outlet implements AutoCloseable {
  /** Unsent bytes from which on the sending thread gives the driver more than one turn per claim. */
  private static final long BACKLOG_BYTES = 256 << 10;

  /** How long a reason may take to follow the news that the receiver is gone. */
  private static final long REASON_NS = 20_000_000;

  private final PageTransport transport;
  private final DriverPump pump;
  private final ExclusivePublication publication;
  private final int senderPositionCounter;
  private final String what;
  private final long patienceNs;
  private final BackOff backOff = new BackOff();
  private final ReentrantLock use = new ReentrantLock();
  private volatile boolean closing;
  private boolean ended;
  private TransportException failure;

  Outlet(
      PageTransport transport,
      ExclusivePublication publication,
      int senderPositionCounter,
      String what,
      Duration patience) {
    this.transport = transport;
    this.pump = transport.pump();
    this.publication = publication;
    this.senderPositionCounter = senderPositionCounter;
    this.what = what;
    this.patienceNs = patience.toNanos();
  }

  /** Largest claim. */
  int payloadBytesMax() {
    return publication.maxPayloadLength();
  }

  /** Starts a use; the buffers cannot go away before {@link #exit}. */
  void enter() {
    use.lock();
    if (failure == null && closing) {
      failure = new TransportException(what + " is closed");
    }
    if (failure != null) {
      use.unlock();
      throw new TransportException(failure.getMessage(), failure);
    }
  }

  void exit() {
    use.unlock();
  }

  void awaitReceiver() {
    enter();
    try {
      long startNs = System.nanoTime();
      backOff.reset();
      while (!publication.isConnected()) {
        checkUsable();
        if (System.nanoTime() - startNs > patienceNs) {
          throw fail("nobody there has expected this stream and token for " + patienceNs / 1_000_000 + " ms");
        }
        backOff.idle(pump.help());
      }
    } finally {
      exit();
    }
  }

  /** Claims room for {@code length} bytes, waiting for the receiver as long as there is progress. */
  void claim(int length, BufferClaim claim) {
    long result = publication.tryClaim(length, claim);
    if (result > 0) {
      return;
    }
    long mark = mark();
    long progressNs = System.nanoTime();
    backOff.reset();
    while ((result = publication.tryClaim(length, claim)) <= 0) {
      checkUsable();
      if (result == Publication.NOT_CONNECTED || result == Publication.CLOSED) {
        throw fail(whyGone());
      }
      if (result == Publication.MAX_POSITION_EXCEEDED) {
        throw fail("more was sent than one stream can carry");
      }
      long now = mark();
      if (now != mark) {
        mark = now;
        progressNs = System.nanoTime();
      } else if (System.nanoTime() - progressNs > patienceNs) {
        throw fail(stalled());
      }
      backOff.idle(pump.help());
    }
  }

  /** Lets the driver send what was committed, without waiting for it. */
  void push() {
    pump.help();
    for (int turns = 0; turns < 4 && unsent() > BACKLOG_BYTES; turns++) {
      if (pump.help() == 0) {
        return;
      }
    }
  }

  /** Waits until all that was committed has left. */
  void flush() {
    long mark = mark();
    long progressNs = System.nanoTime();
    backOff.reset();
    while (unsent() > 0) {
      int work = pump.help();
      checkUsable();
      // A receiver that has got everything may close before this thread sees that everything has left.
      if (!publication.isConnected() && unsent() > 0) {
        throw fail(whyGone());
      }
      long now = mark();
      if (now != mark) {
        mark = now;
        progressNs = System.nanoTime();
      } else if (System.nanoTime() - progressNs > patienceNs) {
        throw fail(stalled());
      }
      backOff.idle(work);
    }
  }

  /** The stream is complete: closing it is no longer a break. */
  void ended() {
    ended = true;
  }

  private long unsent() {
    return publication.position() - transport.counters().getCounterValue(senderPositionCounter);
  }

  /** Changes whenever the receiver takes something. */
  private long mark() {
    return publication.positionLimit() + transport.counters().getCounterValue(senderPositionCounter);
  }

  private String stalled() {
    return "the receiver is there but has taken nothing for " + patienceNs / 1_000_000 + " ms";
  }

  private void checkUsable() {
    if (closing) {
      throw fail("closed while a call was waiting");
    }
    if (Thread.currentThread().isInterrupted()) {
      throw fail("the thread that sends was interrupted");
    }
  }

  private String whyGone() {
    long deadlineNs = System.nanoTime() + REASON_NS;
    String reason;
    while ((reason = transport.rejection(publication.registrationId())).isEmpty() && System.nanoTime() - deadlineNs < 0) {
      backOff.idle(pump.help());
    }
    return reason.isEmpty()
        ? "the receiver is gone (closed, killed, or unreachable for " + transport.options().silence().toMillis() + " ms)"
        : "the receiver turned it away: " + reason;
  }

  private TransportException fail(String reason) {
    failure = new TransportException(what + " broke: " + reason);
    return failure;
  }

  @Override
  public void close() {
    closing = true;
    use.lock();
    try {
      if (!publication.isClosed()) {
        transport.closePublication(publication, !ended);
      }
    } finally {
      use.unlock();
      transport.forget(this);
    }
  }

  @Override
  public String toString() {
    return what;
  }
}
