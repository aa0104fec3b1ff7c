package io.gantry.node.control;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

class ControlSocketTest {
  private static final Duration REQUEST_DEADLINE = Duration.ofMillis(500);

  @TempDir Path directory;
  private ControlServer server;
  private final ListAppender<ILoggingEvent> log = new ListAppender<>();

  @BeforeEach
  void start() throws IOException {
    log.start();
    logger().addAppender(log);
    server = ControlServer.start(directory.resolve(ControlSocket.FILE_NAME), ControlSocketTest::answer, REQUEST_DEADLINE);
  }

  @AfterEach
  void stop() {
    server.close();
    logger().detachAppender(log);
  }

  private static Logger logger() {
    return (Logger) LoggerFactory.getLogger(ControlServer.class);
  }

  private static ObjectNode answer(String command, ObjectNode arguments, RequestHandler.Progress progress) {
    return switch (command) {
      case "echo" -> {
        progress.report(Json.object().put("step", 1));
        progress.report(Json.object().put("step", 2));
        yield arguments;
      }
      case "refuse" -> throw new CommandException(ExitCode.NOT_FOUND, "There is no such thing.");
      default -> throw new IllegalStateException("broken");
    };
  }

  private ControlClient client() {
    return new ControlClient(server.path());
  }

  private SocketChannel connect() throws IOException {
    var channel = SocketChannel.open(StandardProtocolFamily.UNIX);
    channel.connect(UnixDomainSocketAddress.of(server.path()));
    return channel;
  }

  /** The next byte or the end, as {@link SocketChannel#read} says; a reset counts as the end. */
  private static int read(SocketChannel channel) {
    try {
      return channel.read(ByteBuffer.allocate(1));
    } catch (IOException reset) {
      return -1;
    }
  }

  private void awaitLogLine(String part) {
    await().atMost(Duration.ofSeconds(5)).untilAsserted(() -> assertThat(lines()).filteredOn(line -> line.contains(part)).hasSize(1));
  }

  private ArrayList<String> lines() {
    var lines = new ArrayList<String>();
    synchronized (log) {
      new ArrayList<>(log.list).forEach(event -> lines.add(event.getFormattedMessage()));
    }
    return lines;
  }

  @Test
  void onlyTheOwnerMayOpenIt() throws IOException {
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(server.path()))).isEqualTo("rw-------");
  }

  @Test
  void progressComesBeforeTheResult() {
    var steps = new ArrayList<Integer>();
    ObjectNode result = client().call(ControlClient.request("echo").put("x", "ü"), progress -> steps.add(progress.path("step").asInt()));
    assertThat(steps).containsExactly(1, 2);
    assertThat(result.path("x").asText()).isEqualTo("ü");
  }

  @Test
  void refusalsKeepTheirCodeAndSentence() {
    assertThatThrownBy(() -> client().call(ControlClient.request("refuse")))
        .isInstanceOfSatisfying(
            CommandException.class,
            refused -> {
              assertThat(refused.code()).isEqualTo(ExitCode.NOT_FOUND);
              assertThat(refused).hasMessage("There is no such thing.");
            });
  }

  @Test
  void anUnexpectedFailureIsAnAnswerToo() {
    assertThatThrownBy(() -> client().call(ControlClient.request("other"))).isInstanceOf(CommandException.class).hasMessage("broken");
  }

  @Test
  void whatIsNoRequestDropsThatClientWithOneLineAndNobodyElse() throws IOException {
    for (String malformed : new String[] {"hello\n", "[1]\n", "{\"command\": 5}\n", "{} {}\n", "\u0000\n"}) {
      try (SocketChannel channel = connect()) {
        channel.write(ByteBuffer.wrap(malformed.getBytes(StandardCharsets.UTF_8)));
        assertThat(read(channel)).isEqualTo(-1);
      }
    }
    await().atMost(Duration.ofSeconds(5)).untilAsserted(() -> assertThat(lines()).hasSize(5));
    assertThat(lines()).allSatisfy(line -> assertThat(line).startsWith("Dropped a client"));
    assertThat(client().call(ControlClient.request("echo"))).isNotEmpty();
  }

  @Test
  void aRequestHasABound() throws IOException {
    try (SocketChannel channel = connect()) {
      var flood = ByteBuffer.allocate(ControlServer.REQUEST_BYTES_MAX);
      while (flood.hasRemaining()) {
        flood.put((byte) 'x');
      }
      channel.write(flood.flip());
      assertThat(read(channel)).isEqualTo(-1);
    }
    awaitLogLine("more than " + ControlServer.REQUEST_BYTES_MAX);
  }

  @Test
  void whoSaysNothingIsDropped() throws IOException {
    try (SocketChannel channel = connect()) {
      channel.write(ByteBuffer.wrap("{".getBytes(StandardCharsets.UTF_8)));
      assertThat(read(channel)).isEqualTo(-1);
    }
    awaitLogLine("no complete request came within 500 ms");
  }

  @Test
  void anotherUserIsDroppedEvenWhenTheFileLetsHimIn() throws IOException, InterruptedException {
    assertThat(System.getProperty("user.name")).as("this test needs root, to become somebody else").isEqualTo("root");
    Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
    Files.setPosixFilePermissions(server.path(), PosixFilePermissions.fromString("rw-rw-rw-"));
    String program =
        """
        import socket, sys
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(sys.argv[1])
        try:
            s.send(b'{"command": "echo"}\\n')
            sys.exit(0 if s.recv(100) == b'' else 3)
        except (BrokenPipeError, ConnectionResetError):
            sys.exit(0)
        """;
    Process stranger =
        new ProcessBuilder("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/env", "-i", "/usr/bin/python3", "-c", program,
                server.path().toString())
            .redirectErrorStream(true)
            .start();
    assertThat(stranger.waitFor(15, TimeUnit.SECONDS)).isTrue();
    assertThat(stranger.exitValue()).as(new String(stranger.getInputStream().readAllBytes(), StandardCharsets.UTF_8)).isZero();
    awaitLogLine("only root may use this node");
  }

  @Test
  void aNodeThatFallsSilentIsGivenUp() throws IOException {
    try (var silent = java.nio.channels.ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
      Path path = directory.resolve("silent.sock");
      silent.bind(UnixDomainSocketAddress.of(path));
      assertThatThrownBy(() -> new ControlClient(path, Duration.ofMillis(300)).call(ControlClient.request("ps")))
          .isInstanceOfSatisfying(CommandException.class, lost -> assertThat(lost.code()).isEqualTo(ExitCode.UNREACHABLE))
          .hasMessageContaining("nothing was heard for 300 ms");
    }
  }

  @Test
  void theSocketIsFoundAmongThoseThatListenAndRemovedAtTheEnd() {
    assertThat(ControlSocket.listening()).contains(server.path());
    server.close();
    assertThat(ControlSocket.listening()).doesNotContain(server.path());
    assertThat(server.path()).doesNotExist();
  }
}
