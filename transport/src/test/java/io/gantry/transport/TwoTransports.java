package io.gantry.transport;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Path;
import java.time.Duration;

/** Two transports on two loopback addresses, as two nodes have them. */
final class TwoTransports implements AutoCloseable {
  static final Duration PATIENCE = Duration.ofSeconds(10);

  final PageTransport source;
  final PageTransport destination;

  TwoTransports(Path directory) {
    this(options("127.0.0.2").withDirectory(directory), options("127.0.0.3").withDirectory(directory));
  }

  TwoTransports(TransportOptions from, TransportOptions to) {
    source = PageTransport.open(from);
    destination = PageTransport.open(to);
  }

  static TransportOptions options(String address) {
    try {
      return TransportOptions.on(InetAddress.getByName(address));
    } catch (UnknownHostException e) {
      throw new AssertionError(e);
    }
  }

  PageStreamReceiver listen(StreamTicket ticket, FrameHandler handler) {
    return destination.listen(ticket, handler, PATIENCE).start();
  }

  PageStreamSender connect(StreamTicket ticket) {
    return source.connect(destination.address(), ticket, PATIENCE);
  }

  @Override
  public void close() {
    source.close();
    destination.close();
  }
}
