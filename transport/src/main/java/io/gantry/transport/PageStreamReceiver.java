package io.gantry.transport;

import io.aeron.Image;
import io.aeron.Subscription;
import io.aeron.logbuffer.ControlledFragmentHandler.Action;
import io.aeron.logbuffer.Header;
import java.time.Duration;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import org.agrona.DirectBuffer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The receiving end of a page stream. Polled by one thread at a time, on which the handler is called; the other methods are for
 * any thread. Nothing happens, not even the patience runs, without polling.
 */
public final class PageStreamReceiver implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(PageStreamReceiver.class);

  /** Frames per poll: what is consumed is told to the sender after each, so it must be a small part of the window. */
  private static final int FRAMES_PER_POLL = 4;

  /** Aeron's bound for a reason (io.aeron.ErrorCode frame), well under it. */
  private static final int REASON_LETTERS_MAX = 200;

  /** How a receiver stands. */
  public enum State {
    /** No sender has shown the token yet. */
    WAITING,
    /** Frames may come. */
    RECEIVING,
    /** The sender ended the stream; everything arrived. */
    ENDED,
    /** The stream broke; {@link #failure()} says why. */
    FAILED,
    /** Closed here before the end. */
    CLOSED
  }

  private final PageTransport transport;
  private final Subscription subscription;
  private final StreamTicket ticket;
  private final FrameHandler handler;
  private final FrameParser parser;
  private final FrameViews views = new FrameViews();
  private final BackOff backOff = new BackOff();
  private final ReentrantLock polling = new ReentrantLock();
  private final CountDownLatch finished = new CountDownLatch(1);
  private final long deadlineNs;
  private final long patienceMs;
  private Image image;
  private Thread thread;
  private volatile boolean closing;
  private volatile State state = State.WAITING;
  private volatile TransportException failure;
  private volatile long bytesReceived;

  PageStreamReceiver(
      PageTransport transport, Subscription subscription, StreamTicket ticket, FrameHandler handler, Duration patience) {
    this.transport = transport;
    this.subscription = subscription;
    this.ticket = ticket;
    this.handler = Objects.requireNonNull(handler, "handler");
    parser = new FrameParser(ticket, transport.options().messageBytesMax(), handler);
    patienceMs = patience.toMillis();
    deadlineNs = System.nanoTime() + patience.toNanos();
    transport.opened(this);
  }

  /** Polls on a daemon thread of its own until the stream ends, breaks or is closed. Once only. */
  public synchronized PageStreamReceiver start() {
    if (thread != null) {
      throw new IllegalStateException(ticket + " is polled by its own thread already");
    }
    thread = Thread.ofPlatform().daemon().name("gantry-stream-" + ticket.streamId()).start(this::run);
    return this;
  }

  /** Polls on this thread until the stream ends, breaks or is closed. */
  public void run() {
    while (isOpen()) {
      backOff.idle(poll());
    }
  }

  /**
   * Takes what has arrived, a few frames at most. Does not wait.
   *
   * @return how much there was to do; 0 means that the caller may rest a little
   */
  public int poll() {
    polling.lock();
    try {
      if (!isOpen()) {
        return 0;
      }
      int frames = image == null ? awaitSender() : pollImage();
      // Acknowledging is the driver's work, and so is taking the next datagrams from the socket.
      return frames + transport.pump().help();
    } finally {
      polling.unlock();
      if (closing) {
        release();
      }
    }
  }

  private int awaitSender() {
    if (subscription.imageCount() > 0) {
      image = subscription.imageAtIndex(0);
      return 1;
    }
    checkDeadline();
    return 0;
  }

  private int pollImage() {
    // Asked before the poll: what a vanished sender had sent completely is taken first.
    boolean gone = image.isClosed();
    int frames = image.controlledPoll(this::onFrame, FRAMES_PER_POLL);
    if (state == State.WAITING && parser.greeted()) {
      state = State.RECEIVING;
    }
    if (isOpen() && gone && frames == 0) {
      fail("the sender is gone before the end (closed, killed, or silent for " + transport.options().silence().toMillis()
          + " ms)");
    } else if (state == State.WAITING && frames == 0) {
      checkDeadline();
    }
    return frames;
  }

  private void checkDeadline() {
    if (System.nanoTime() - deadlineNs > 0) {
      fail("no sender has shown the token for " + patienceMs + " ms");
    }
  }

  private Action onFrame(DirectBuffer buffer, int offset, int length, Header header) {
    if (!isOpen()) {
      return Action.ABORT;
    }
    try {
      parser.accept(views.of(buffer.byteBuffer()), buffer.wrapAdjustment() + offset, length);
      bytesReceived += length;
    } catch (MalformedFrameException e) {
      fail(e.getMessage());
    } catch (RuntimeException | Error e) {
      fail("what arrived could not be used: " + (e.getMessage() == null ? e.toString() : e.getMessage()), e);
      if (e instanceof VirtualMachineError) {
        throw e;
      }
    }
    // Also when the handler closed this from within its end().
    if (parser.ended() && state != State.FAILED) {
      state = State.ENDED;
      finished.countDown();
    }
    return Action.CONTINUE;
  }

  private boolean isOpen() {
    return (state == State.WAITING || state == State.RECEIVING) && !closing;
  }

  private void fail(String reason) {
    fail(reason, null);
  }

  private void fail(String reason, Throwable cause) {
    String sentence = ticket + " on " + transport.address().getAddress().getHostAddress() + " broke: " + reason;
    failure = cause == null ? new TransportException(sentence) : new TransportException(sentence, cause);
    state = State.FAILED;
    LOG.warn("{}", sentence);
    if (image != null && !image.isClosed()) {
      transport.reject(image, reason.substring(0, Math.min(reason.length(), REASON_LETTERS_MAX)));
    }
    try {
      handler.failed(failure);
    } finally {
      finished.countDown();
    }
  }

  /** How the stream stands. */
  public State state() {
    return state;
  }

  /** Why the stream broke, if it did. */
  public Optional<TransportException> failure() {
    return Optional.ofNullable(failure);
  }

  /**
   * Waits until the stream has ended, broken or been closed; for threads that do not poll it.
   *
   * @return whether it has within that time
   */
  public boolean await(Duration patience) throws InterruptedException {
    return finished.await(patience.toNanos(), TimeUnit.NANOSECONDS);
  }

  /** Bytes of frames received so far. */
  public long bytesReceived() {
    return bytesReceived;
  }

  /**
   * Stops receiving; a stream that had not ended breaks for the sender. Waits for a call of the handler that is under way,
   * unless it is this thread's own. Idempotent.
   */
  @Override
  public void close() {
    closing = true;
    if (!polling.isHeldByCurrentThread()) {
      release();
    }
  }

  private void release() {
    polling.lock();
    try {
      if (state == State.WAITING || state == State.RECEIVING) {
        state = State.CLOSED;
      }
      if (!subscription.isClosed()) {
        transport.closeInlet(subscription);
      }
    } finally {
      polling.unlock();
      transport.forget(this);
      finished.countDown();
    }
  }
}
