package io.gantry.transport;

import java.lang.foreign.MemorySegment;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;

/** One end of a stream as a program, to be killed: {@code receive TICKET DIRECTORY} or {@code send TICKET DIRECTORY PORT}. */
public final class StreamPeer {
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  private StreamPeer() {}

  public static void main(String[] args) {
    StreamTicket ticket = StreamTicket.parse(args[1]);
    TransportOptions options = TwoTransports.options("127.0.0.4").withDirectory(Path.of(args[2]));
    try (PageTransport transport = PageTransport.open(options)) {
      if (args[0].equals("receive")) {
        System.out.println(transport.address().getPort());
        try (PageStreamReceiver receiver = transport.listen(ticket, new Discarder(), PATIENCE)) {
          receiver.run();
        }
      } else {
        InetSocketAddress remote = new InetSocketAddress("127.0.0.3", Integer.parseInt(args[3]));
        try (PageStreamSender sender = transport.connect(remote, ticket, PATIENCE)) {
          sender.message(1, new byte[10]);
          long endNs = System.nanoTime() + PATIENCE.toNanos();
          while (System.nanoTime() - endNs < 0) {
            sender.pages(1, new long[] {0}, new int[] {1}, 1, data -> data.fill((byte) 1));
          }
        }
      }
    }
  }

  private static final class Discarder implements FrameHandler {
    @Override
    public void pages(int space, long[] addresses, int[] counts, int runCount, MemorySegment data) {}

    @Override
    public void zero(int space, long address, long pageCount) {}

    @Override
    public void message(int type, byte[] bytes) {}

    @Override
    public void end() {}

    @Override
    public void failed(TransportException reason) {}
  }
}
