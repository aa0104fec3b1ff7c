package io.gantry.transport;

import io.aeron.Image;
import io.aeron.Subscription;
import io.aeron.logbuffer.BufferClaim;
import io.aeron.logbuffer.FragmentHandler;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A plain Aeron stream with the transport's own settings: claimed messages of the largest size that nobody fills, checks or
 * looks at. What a page stream is compared with.
 */
public final class RawStream {
  private static final int FRAMES_PER_POLL = 4;

  private RawStream() {}

  /**
   * Sends {@code bytes} to a transport that is in {@link #receive} for the same ticket, or will be within {@code patience}.
   *
   * @param bytes at least 1; rounded up to whole messages
   * @return bytes per second, from the first claim to the last byte's leaving
   * @throws TransportException when the receiver is missing, vanishes, or makes no progress for {@code patience}
   */
  public static double send(PageTransport transport, InetSocketAddress remote, StreamTicket ticket, long bytes,
      Duration patience) {
    try (Outlet outlet = transport.openOutlet(remote, ticket, patience)) {
      outlet.enter();
      try {
        int length = outlet.payloadBytesMax();
        BufferClaim claim = new BufferClaim();
        long startNs = System.nanoTime();
        long sent = 0;
        while (sent < bytes) {
          outlet.claim(length, claim);
          claim.commit();
          outlet.push();
          sent += length;
        }
        outlet.flush();
        outlet.ended();
        return sent * 1e9 / (System.nanoTime() - startNs);
      } finally {
        outlet.exit();
      }
    }
  }

  /**
   * Receives until {@code bytes} have arrived, on this thread.
   *
   * @return bytes per second, from the first message to the last
   * @throws TransportException when nothing arrives for {@code patience}
   */
  public static double receive(PageTransport transport, StreamTicket ticket, long bytes, Duration patience) {
    try (Inlet inlet = new Inlet(transport, ticket)) {
      BackOff backOff = new BackOff();
      long startNs = 0;
      long progressNs = System.nanoTime();
      while (inlet.received < bytes) {
        long before = inlet.received;
        int work = inlet.poll() + transport.pump().help();
        long nowNs = System.nanoTime();
        if (inlet.received > before) {
          startNs = before == 0 ? nowNs : startNs;
          progressNs = nowNs;
        } else if (nowNs - progressNs > patience.toNanos()) {
          throw new TransportException("The raw " + ticket + " brought nothing for " + patience.toMillis() + " ms");
        }
        backOff.idle(work);
      }
      return inlet.received * 1e9 / Math.max(1, System.nanoTime() - startNs);
    }
  }

  /** The receiving end; {@link #close} from any thread. */
  private static final class Inlet implements AutoCloseable {
    private final PageTransport transport;
    private final Subscription subscription;
    private final ReentrantLock use = new ReentrantLock();
    private long received;
    private final FragmentHandler count = (buffer, offset, length, header) -> received += length;
    private Image image;
    private boolean closed;

    Inlet(PageTransport transport, StreamTicket ticket) {
      this.transport = transport;
      subscription = transport.openInlet(ticket);
      transport.opened(this);
    }

    int poll() {
      use.lock();
      try {
        if (closed) {
          throw new TransportException("A raw stream was closed while it was being measured");
        }
        if (image == null && subscription.imageCount() > 0) {
          image = subscription.imageAtIndex(0);
        }
        return image == null ? 0 : image.poll(count, FRAMES_PER_POLL);
      } finally {
        use.unlock();
      }
    }

    @Override
    public void close() {
      use.lock();
      try {
        if (!closed) {
          closed = true;
          transport.closeInlet(subscription);
          transport.forget(this);
        }
      } finally {
        use.unlock();
      }
    }
  }

  /**
   * Sends from one transport to another of the same process.
   *
   * @return bytes per second as the receiver sees them
   */
  public static double measure(PageTransport from, PageTransport to, long bytes, Duration patience) {
    StreamTicket ticket = StreamTicket.random();
    CompletableFuture<Double> received = new CompletableFuture<>();
    Thread.ofPlatform().daemon().name("gantry-raw-stream").start(() -> {
          try {
            received.complete(receive(to, ticket, bytes, patience));
          } catch (RuntimeException e) {
            received.completeExceptionally(e);
          }
        });
    try {
      send(from, to.address(), ticket, bytes, patience);
      return received.join();
    } catch (CompletionException e) {
      throw e.getCause() instanceof TransportException known ? known : e;
    }
  }
}
