package io.gantry.actors;

import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.PageReceiver;
import io.gantry.transport.FrameHandler;
import io.gantry.transport.PageStreamReceiver;
import io.gantry.transport.PageStreamSender;
import io.gantry.transport.PageTransport;
import io.gantry.transport.StreamTicket;
import io.gantry.transport.TransportException;
import java.lang.foreign.MemorySegment;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.function.Supplier;

/** Page links over {@code transport}. Any thread; the streams as {@link PageLinks} says. */
public final class AeronPageLinks implements PageLinks {
  /** How long a sender may take to come after its offer was accepted; the source connects at once. */
  private static final Duration SENDER_PATIENCE = Duration.ofSeconds(15);

  private final PageTransport transport;
  private final boolean sealed;

  /**
   * @param transport closed by {@link #close()}
   * @param sealed whether frames are encrypted, under a key that travels over the actor link, which must then be protected by TLS
   */
  public AeronPageLinks(PageTransport transport, boolean sealed) {
    this.transport = transport;
    this.sealed = sealed;
  }

  @Override
  public Receiving receive(String migration, PageReceiver receiver, StreamListener listener) {
    var ticket = sealed ? StreamTicket.randomSealed() : StreamTicket.random();
    var stream = guarded(() -> transport.listen(ticket, new Handler(receiver, listener), SENDER_PATIENCE).start());
    var address = transport.address();
    var endpoint =
        new Endpoint(address.getAddress().getHostAddress(), address.getPort(), ticket.text().getBytes(StandardCharsets.US_ASCII));
    return new ReceivingStream(endpoint, stream);
  }

  @Override
  public Sending send(String migration, Endpoint endpoint, Duration timeout) {
    return guarded(
        () ->
            new SendingStream(
                transport.connect(
                    new InetSocketAddress(endpoint.host(), endpoint.port()),
                    StreamTicket.parse(new String(endpoint.token(), StandardCharsets.US_ASCII)),
                    timeout)));
  }

  @Override
  public void close() {
    transport.close();
  }

  private static <T> T guarded(Supplier<T> call) {
    try {
      return call.get();
    } catch (TransportException e) {
      throw new PageLinkException(e.getMessage(), e);
    }
  }

  private record Handler(PageReceiver receiver, StreamListener listener) implements FrameHandler {
    @Override
    public void pages(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data) {
      receiver.pages(space, addresses, pageCounts, runCount, data);
    }

    @Override
    public void zero(int space, long address, long pageCount) {
      receiver.zero(space, address, pageCount);
    }

    @Override
    public void message(int type, byte[] bytes) {
      receiver.message(type, bytes);
    }

    @Override
    public void end() {
      listener.ended("");
    }

    @Override
    public void failed(TransportException reason) {
      listener.ended(reason.getMessage());
    }
  }

  private record ReceivingStream(Endpoint endpoint, PageStreamReceiver stream) implements Receiving {
    @Override
    public void close() {
      stream.close();
    }
  }

  private record SendingStream(PageStreamSender stream) implements Sending {
    @Override
    public int pagesMax() {
      return stream.pagesMax();
    }

    @Override
    public int runsMax() {
      return stream.runsMax();
    }

    @Override
    public void pages(int space, long[] addresses, int[] pageCounts, int runCount, PageReader reader) {
      try {
        stream.pages(space, addresses, pageCounts, runCount, data -> reader.read(addresses, pageCounts, runCount, data));
      } catch (TransportException e) {
        throw new PageLinkException(e.getMessage(), e);
      }
    }

    @Override
    public void zero(int space, long address, long pageCount) {
      try {
        stream.zero(space, address, pageCount);
      } catch (TransportException e) {
        throw new PageLinkException(e.getMessage(), e);
      }
    }

    @Override
    public void message(int type, byte[] bytes) {
      try {
        stream.message(type, bytes);
      } catch (TransportException e) {
        throw new PageLinkException(e.getMessage(), e);
      }
    }

    @Override
    public void flush() {
      try {
        stream.flush();
      } catch (TransportException e) {
        throw new PageLinkException(e.getMessage(), e);
      }
    }

    @Override
    public void end() {
      try {
        stream.end();
      } catch (TransportException e) {
        throw new PageLinkException(e.getMessage(), e);
      }
    }

    @Override
    public long bytesSent() {
      return stream.bytesSent();
    }

    @Override
    public long zeroPagesSent() {
      return stream.zeroPagesSent();
    }

    @Override
    public void close() {
      stream.close();
    }
  }
}
