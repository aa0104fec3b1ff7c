package io.gantry.node.bench;

import io.gantry.checkpoint.AgentPriority;
import io.gantry.transport.FrameHandler;
import io.gantry.transport.PageStreamReceiver;
import io.gantry.transport.PageStreamSender;
import io.gantry.transport.PageTransport;
import io.gantry.transport.RawStream;
import io.gantry.transport.StreamTicket;
import io.gantry.transport.TransportException;
import io.gantry.transport.TransportOptions;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

/**
 * One end of a stream, as a process. It says {@code ready PORT}, then takes one line per stream on standard input, {@code KIND BYTES
 * TICKET [PORT]}, does it, and answers {@code rate BYTES_PER_SECOND} on standard output; ends with its input. Kinds: {@code raw}, {@code pages}.
 * Arguments: {@code send|receive}, own address, other address.
 */
final class StreamPeer {
  private static final Duration PATIENCE = Duration.ofSeconds(10);
  private static final int PAGE_BYTES = 4096;

  /** Larger than any cache, so that reading the pages costs what it costs in a migration. */
  private static final long MEMORY_BYTES = 256L << 20;

  private StreamPeer() {}

  public static void main(String[] arguments) throws IOException, InterruptedException {
    // As a node does, so that the two can be compared.
    AgentPriority.raise();
    boolean sends = arguments[0].equals("send");
    InetAddress other = InetAddress.getByName(arguments[2]);
    var options = TransportOptions.on(InetAddress.getByName(arguments[1]));
    try (var transport = PageTransport.open(options);
        var arena = Arena.ofConfined();
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII))) {
      MemorySegment memory = arena.allocate(MEMORY_BYTES, PAGE_BYTES);
      memory.fill((byte) 7);
      System.out.println("ready " + transport.address().getPort());
      for (String line = input.readLine(); line != null; line = input.readLine()) {
        String[] words = line.split(" ");
        long bytes = Long.parseLong(words[1]);
        StreamTicket ticket = StreamTicket.parse(words[2]);
        boolean raw = words[0].equals("raw");
        double rate;
        if (sends) {
          var remote = new InetSocketAddress(other, Integer.parseInt(words[3]));
          rate = raw ? RawStream.send(transport, remote, ticket, bytes, PATIENCE) : sendPages(transport, remote, ticket, bytes, memory);
        } else {
          rate = raw ? RawStream.receive(transport, ticket, bytes, PATIENCE) : receivePages(transport, ticket, memory);
        }
        System.out.println("rate " + Math.round(rate));
      }
    }
  }

  private static double sendPages(PageTransport transport, InetSocketAddress remote, StreamTicket ticket, long bytes, MemorySegment memory) {
    try (PageStreamSender sender = transport.connect(remote, ticket, PATIENCE)) {
      int pages = sender.pagesMax();
      long length = (long) pages * PAGE_BYTES;
      long[] address = new long[1];
      int[] count = {pages};
      long beganNs = System.nanoTime();
      long sent = 0;
      for (long offset = 0; sent < bytes; offset = offset + 2 * length > MEMORY_BYTES ? 0 : offset + length) {
        long from = offset;
        address[0] = offset;
        sender.pages(1, address, count, 1, target -> MemorySegment.copy(memory, from, target, 0, length));
        sent += length;
      }
      sender.end();
      return sent * 1e9 / (System.nanoTime() - beganNs);
    }
  }

  private static double receivePages(PageTransport transport, StreamTicket ticket, MemorySegment memory) {
    var handler = new CopyingHandler(memory);
    try (PageStreamReceiver receiver = transport.listen(ticket, handler, PATIENCE)) {
      receiver.run();
    }
    return handler.rate();
  }

  /** Puts pages where they belong, as an arriving container would. */
  private static final class CopyingHandler implements FrameHandler {
    private final MemorySegment memory;
    private long beganNs;
    private long endedNs;
    private long bytes;

    CopyingHandler(MemorySegment memory) {
      this.memory = memory;
    }

    @Override
    public void pages(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data) {
      if (bytes == 0) {
        beganNs = System.nanoTime();
      }
      MemorySegment.copy(data, 0, memory, addresses[0], data.byteSize());
      bytes += data.byteSize();
    }

    @Override
    public void zero(int space, long address, long pageCount) {
      throw new TransportException("nobody sends zero pages here");
    }

    @Override
    public void message(int type, byte[] message) {
      throw new TransportException("nobody sends messages here");
    }

    @Override
    public void end() {
      endedNs = System.nanoTime();
    }

    @Override
    public void failed(TransportException reason) {
      throw reason;
    }

    double rate() {
      return bytes * 1e9 / Math.max(1, endedNs - beganNs);
    }
  }
}
