package io.gantry.checkpoint.resource;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.image.fd_types;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What real programs have open can all be carried. */
class ProgramDescriptorsTest {
  private static final int REPETITIONS = 200;

  @Test
  void shell(@TempDir Path directory) {
    try (var move =
        Move.beginProgram(directory, text -> text.contains("ready"), "bash", "-c",
            "(echo ready; exec sleep 1000) | cat & wait")) {
      carry("shell", move);
    }
  }

  @Test
  void python(@TempDir Path directory) {
    var program =
        """
        import asyncio, os, random, select, signal, socket, subprocess, threading
        files = [open('/etc/passwd'), open('/dev/urandom', 'rb')]
        server = socket.create_server(('127.0.0.1', 0))
        async def main():
          loop = asyncio.get_running_loop()
          loop.call_later(1000, print)
          print('ready', flush=True)
          await asyncio.sleep(1000)
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        asyncio.run(main())
        """;
    var file = directory.resolve("program.py");
    try (var move = Move.beginProgram(directory, text -> text.contains("ready"), "python3", write(file, program))) {
      carry("python", move);
    }
  }

  @Test
  void jvm(@TempDir Path directory) {
    var program =
        """
        import java.net.*; import java.nio.channels.*; import java.nio.file.*; import java.util.concurrent.*;
        public class Program {
          public static void main(String[] arguments) throws Exception {
            var server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
            var selector = Selector.open();
            var channel = ServerSocketChannel.open().bind(new InetSocketAddress("127.0.0.1", 0));
            channel.configureBlocking(false).register(selector, SelectionKey.OP_ACCEPT);
            var datagrams = DatagramChannel.open().bind(null);
            new java.security.SecureRandom().nextInt();
            Thread.ofVirtual().start(() -> { try { server.accept(); } catch (Exception e) { } });
            Executors.newScheduledThreadPool(4).schedule(() -> { }, 1000, TimeUnit.SECONDS);
            Thread.ofVirtual().start(() -> { try { Thread.sleep(100); System.out.println("ready"); } catch (Exception e) { } });
            while (true) selector.select();
          }
        }
        """;
    var java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
    try (var move =
        Move.beginProgram(
            directory, text -> text.contains("ready"), java, "-Xmx64m", write(directory.resolve("Program.java"), program))) {
      carry("jvm", move);
    }
  }

  @Test
  void twoHundredDescriptors(@TempDir Path directory) {
    try (var move = Move.begin("many", directory)) {
      carry("twoHundredDescriptors", move);
    }
  }

  @Test
  void redis(@TempDir Path directory) throws IOException {
    String port;
    try (var free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      port = Integer.toString(free.getLocalPort());
    }
    try (var move =
        Move.beginProgram(
            directory,
            text -> text.contains("Ready to accept connections"),
            "redis-server",
            "--port",
            port,
            "--bind",
            "127.0.0.1",
            "::1",
            "--dir",
            directory.toString(),
            "--appendonly",
            "yes")) {
      var captured = carry("redis", move);
      assertThat(captured.state().getFileList()).filteredOn(file -> file.getType() == fd_types.INETSK).hasSize(2);
    }
  }

  /** Moves everything and prints how long that takes when it is warm. */
  private static DescriptorCapture.Captured carry(String name, Move move) {
    var pids = move.processes().stream().map(ProcessRef::pid).toList();
    var findings = DescriptorSurvey.survey(pids).findings();
    assertThat(findings).isEmpty();
    var capture = measure(() -> move.capture());
    var captured = move.capture();
    var sender = new FileContentSender(Path.of("/nonexistent/console.log"));
    move.endSource();
    var tasks = move.startStubs();
    try (var received = new FileContentReceiver(move.directory().resolve("copy.log"), move::stubPid)) {
      sender.last(List.of(), received::accept);
      assertThat(captured.deletedFiles()).as("content of deleted files is another test's affair").isEmpty();
      move.recreate(captured.state(), received, Map.of());
      var recreate = measure(() -> DescriptorArrival.recreate(captured.state(), tasks, received, Map.of()));
      System.out.printf(
          "%s: %d descriptors of %d processes: capture %s, recreate %s%n",
          name,
          captured.state().getProcessList().stream().mapToInt(process -> process.getFdCount()).sum(),
          pids.size(),
          capture,
          recreate);
    }
    return captured;
  }

  /** Median and shortest of the warm half, as text. */
  private static String measure(Runnable action) {
    var times = new long[REPETITIONS];
    for (int i = 0; i < REPETITIONS; i++) {
      long begin = System.nanoTime();
      action.run();
      times[i] = System.nanoTime() - begin;
    }
    Arrays.sort(times, REPETITIONS / 2, REPETITIONS);
    return times[REPETITIONS * 3 / 4] / 1000 + " us (at best " + times[REPETITIONS / 2] / 1000 + ")";
  }

  private static String write(Path file, String text) {
    try {
      return Files.writeString(file, text).toString();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
