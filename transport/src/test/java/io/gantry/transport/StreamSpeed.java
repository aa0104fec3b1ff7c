package io.gantry.transport;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * Measures streams between two JVMs on loopback: a raw one, and page streams whose pages are copied in and copied out.
 * {@code java … StreamSpeed [BYTES [MTU [TERM [WINDOW]]]]}
 */
public final class StreamSpeed {
  private static final Duration PATIENCE = Duration.ofSeconds(20);
  private static final int SOURCE_PAGES = 16384;

  private StreamSpeed() {}

  /** What one run gave, bytes per second of payload. */
  record Speed(double raw, double pages, double sealed, long latencyP50Ns, long latencyMaxNs) {
    @Override
    public String toString() {
      return String.format(
          Locale.ROOT,
          "raw %.2f GB/s, pages %.2f GB/s (%.0f %%), sealed %.2f GB/s, message to idle receiver p50 %d us, max %d us",
          raw / 1e9, pages / 1e9, 100 * pages / raw, sealed / 1e9, latencyP50Ns / 1000, latencyMaxNs / 1000);
    }
  }

  public static void main(String[] args) throws Exception {
    if (args.length > 0 && args[0].equals("receive")) {
      receive(args);
      return;
    }
    long bytes = args.length > 0 ? Long.parseLong(args[0]) : 2L << 30;
    TransportOptions options = TransportOptions.on(InetAddress.getByName("127.0.0.2"));
    if (args.length > 1) {
      options = options.withMtuBytes(Integer.parseInt(args[1]));
    }
    if (args.length > 3) {
      options = options.withBuffers(Integer.parseInt(args[2]), Integer.parseInt(args[3]));
    }
    System.out.println(twoJvms(options, bytes));
  }

  /** Runs the receiving side in a JVM of its own. */
  static Speed twoJvms(TransportOptions options, long bytes) throws IOException, InterruptedException {
    StreamTicket warm = StreamTicket.random();
    StreamTicket raw = StreamTicket.random();
    StreamTicket warmPages = StreamTicket.random();
    StreamTicket pages = StreamTicket.random();
    StreamTicket warmSealed = StreamTicket.randomSealed();
    StreamTicket sealed = StreamTicket.randomSealed();
    StreamTicket latency = StreamTicket.random();
    List<String> command = new ArrayList<>(List.of(System.getProperty("java.home") + "/bin/java"));
    command.addAll(List.of("-Xmx256m", "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
        "--enable-native-access=ALL-UNNAMED"));
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), StreamSpeed.class.getName(), "receive"));
    command.addAll(List.of("" + bytes, "" + options.mtuBytes(), "" + options.termBytes(), "" + options.windowBytes()));
    for (StreamTicket ticket : List.of(warm, raw, warmPages, pages, warmSealed, sealed, latency)) {
      command.add(ticket.text());
    }
    // Logs go to the error output, so that the figures stand alone on the other.
    Process child = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    try (PageTransport transport = PageTransport.open(options);
        BufferedReader output = new BufferedReader(new InputStreamReader(child.getInputStream(), StandardCharsets.UTF_8))) {
      InetSocketAddress remote = new InetSocketAddress(InetAddress.getByName("127.0.0.3"), Integer.parseInt(output.readLine()));
      RawStream.send(transport, remote, warm, bytes / 2, PATIENCE);
      RawStream.send(transport, remote, raw, bytes, PATIENCE);
      sendPages(transport, remote, warmPages, bytes / 2);
      sendPages(transport, remote, pages, bytes);
      sendPages(transport, remote, warmSealed, bytes / 2);
      sendPages(transport, remote, sealed, bytes);
      output.readLine();
      double rawSpeed = Double.parseDouble(output.readLine());
      output.readLine();
      double pageSpeed = Double.parseDouble(output.readLine());
      output.readLine();
      double sealedSpeed = Double.parseDouble(output.readLine());
      long[] ns = new long[200];
      try (PageStreamSender sender = transport.connect(remote, latency, PATIENCE)) {
        for (int i = 0; i < ns.length; i++) {
          // The receiver has rested for a while; nanoTime is the machine's own clock, the same in both JVMs.
          LockSupport.parkNanos(5_000_000);
          long startNs = System.nanoTime();
          sender.message(1, new byte[2000]);
          sender.flush();
          ns[i] = Long.parseLong(output.readLine()) - startNs;
        }
        sender.end();
      }
      Arrays.sort(ns);
      if (!child.waitFor(20, TimeUnit.SECONDS)) {
        throw new IllegalStateException("The receiving JVM does not end");
      }
      return new Speed(rawSpeed, pageSpeed, sealedSpeed, ns[ns.length / 2], ns[ns.length - 1]);
    } finally {
      child.destroyForcibly();
    }
  }

  /** Sends pages of a source that is larger than any cache. */
  static void sendPages(PageTransport transport, InetSocketAddress remote, StreamTicket ticket, long bytes) {
    try (Arena arena = Arena.ofConfined(); PageStreamSender sender = transport.connect(remote, ticket, PATIENCE)) {
      MemorySegment source = arena.allocate((long) SOURCE_PAGES * 4096, 4096);
      for (long at = 0; at < source.byteSize(); at += 4096) {
        source.set(ValueLayout.JAVA_LONG, at, at + 1);
      }
      int batch = sender.pagesMax();
      long[] addresses = new long[1];
      int[] counts = {batch};
      long[] at = new long[1];
      for (long sent = 0; sent < bytes; sent += 4096L * batch) {
        addresses[0] = sent;
        at[0] = at[0] + 4096L * batch > source.byteSize() ? 0 : at[0];
        sender.pages(1, addresses, counts, 1, data -> MemorySegment.copy(source, at[0], data, 0, data.byteSize()));
        at[0] += 4096L * batch;
      }
      sender.end();
    }
  }

  private static void receive(String[] args) throws Exception {
    long bytes = Long.parseLong(args[1]);
    TransportOptions options =
        TransportOptions.on(InetAddress.getByName("127.0.0.3"))
            .withMtuBytes(Integer.parseInt(args[2]))
            .withBuffers(Integer.parseInt(args[3]), Integer.parseInt(args[4]));
    try (PageTransport transport = PageTransport.open(options)) {
      System.out.println(transport.address().getPort());
      System.out.println(RawStream.receive(transport, StreamTicket.parse(args[5]), bytes / 2, PATIENCE));
      System.out.println(RawStream.receive(transport, StreamTicket.parse(args[6]), bytes, PATIENCE));
      for (int i = 7; i <= 10; i++) {
        System.out.println(receivePages(transport, StreamTicket.parse(args[i])));
      }
      Reporter reporter = new Reporter();
      try (PageStreamReceiver receiver = transport.listen(StreamTicket.parse(args[11]), reporter, PATIENCE)) {
        receiver.run();
      }
    }
  }

  /** Receives pages and copies each into a memory that is larger than any cache; bytes per second. */
  static double receivePages(PageTransport transport, StreamTicket ticket) {
    try (Arena arena = Arena.ofConfined()) {
      Copier copier = new Copier(arena.allocate((long) SOURCE_PAGES * 4096, 4096));
      try (PageStreamReceiver receiver = transport.listen(ticket, copier, PATIENCE)) {
        receiver.run();
      }
      copier.failure.ifPresent(reason -> {
        throw reason;
      });
      return copier.bytes * 1e9 / (copier.endNs - copier.startNs);
    }
  }

  private static final class Copier implements FrameHandler {
    private final MemorySegment target;
    private Optional<TransportException> failure = Optional.empty();
    private long bytes;
    private long startNs;
    private long endNs;

    Copier(MemorySegment target) {
      this.target = target;
    }

    @Override
    public void pages(int space, long[] addresses, int[] counts, int runCount, MemorySegment data) {
      startNs = startNs == 0 ? System.nanoTime() : startNs;
      long at = addresses[0] % (target.byteSize() - data.byteSize());
      MemorySegment.copy(data, 0, target, at, data.byteSize());
      bytes += data.byteSize();
    }

    @Override
    public void zero(int space, long address, long pageCount) {}

    @Override
    public void message(int type, byte[] message) {}

    @Override
    public void end() {
      endNs = System.nanoTime();
    }

    @Override
    public void failed(TransportException reason) {
      failure = Optional.of(reason);
      endNs = System.nanoTime();
    }
  }

  private static final class Reporter implements FrameHandler {
    @Override
    public void pages(int space, long[] addresses, int[] counts, int runCount, MemorySegment data) {}

    @Override
    public void zero(int space, long address, long pageCount) {}

    @Override
    public void message(int type, byte[] message) {
      System.out.println(System.nanoTime());
    }

    @Override
    public void end() {}

    @Override
    public void failed(TransportException reason) {}
  }
}
