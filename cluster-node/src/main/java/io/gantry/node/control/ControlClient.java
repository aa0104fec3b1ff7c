package io.gantry.node.control;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.function.Consumer;

/** Asks a node over its control socket. */
public final class ControlClient {
  /** A node that is alive says so every five seconds ({@link ControlServer#KEEP_ALIVE}). */
  private static final Duration SILENCE_MAX = Duration.ofSeconds(20);

  private static final int ANSWER_BYTES_MAX = 64 << 20;

  private final Path socket;
  private final Duration silenceMax;

  /** @param socket path of the node's control socket */
  public ControlClient(Path socket) {
    this(socket, SILENCE_MAX);
  }

  ControlClient(Path socket, Duration silenceMax) {
    this.socket = socket;
    this.silenceMax = silenceMax;
  }

  /** Begins a request. */
  public static ObjectNode request(String command) {
    return Json.object().put("command", command);
  }

  /** As {@link #call(ObjectNode, Consumer)} for requests without progress. */
  public ObjectNode call(ObjectNode request) {
    return call(request, progress -> {});
  }

  /**
   * Sends a request and waits for its result. A node that falls silent is given up; a request may take as long as the node says that it
   * is alive.
   *
   * @param progress called on this thread with every intermediate object
   * @throws CommandException when no node answers, or with the node's own sentence and code
   */
  public ObjectNode call(ObjectNode request, Consumer<ObjectNode> progress) {
    try (var channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
      connect(channel);
      channel.write(ByteBuffer.wrap((Json.line(request) + "\n").getBytes(StandardCharsets.UTF_8)));
      channel.configureBlocking(false);
      try (var selector = Selector.open()) {
        channel.register(selector, SelectionKey.OP_READ);
        return readAnswer(channel, selector, progress);
      }
    } catch (IOException broken) {
      throw new CommandException(
          ExitCode.UNREACHABLE,
          "The node behind " + socket + " hung up before it answered (" + broken.getMessage() + "). Its log says why: "
              + socket.resolveSibling("node.log") + ".",
          broken);
    }
  }

  private void connect(SocketChannel channel) {
    try {
      channel.connect(UnixDomainSocketAddress.of(socket));
    } catch (IOException refused) {
      if (!Files.isReadable(socket.getParent()) && Files.exists(socket.getParent())) {
        throw new CommandException(
            ExitCode.NOT_ROOT, "Only the owner of the node may talk to it over " + socket + "; run this as that user, usually root.", refused);
      }
      throw new CommandException(
          ExitCode.UNREACHABLE,
          "No node answers on " + socket + ". Start one with: gantry node --name NAME --bind ADDRESS"
              + ("/var/lib/gantry".equals(socket.getParent().toString()) ? "" : " --state-dir " + socket.getParent())
              + " (or say with --state-dir where it keeps its state).",
          refused);
    }
  }

  private ObjectNode readAnswer(SocketChannel channel, Selector selector, Consumer<ObjectNode> progress) throws IOException {
    var buffer = ByteBuffer.allocate(64 * 1024);
    var line = new ByteArrayOutputStream();
    long lastHeardNs = System.nanoTime();
    while (true) {
      long leftMs = silenceMax.toMillis() - (System.nanoTime() - lastHeardNs) / 1_000_000;
      if (leftMs <= 0) {
        throw new IOException("nothing was heard for " + silenceMax.toMillis() + " ms");
      }
      selector.select(leftMs);
      selector.selectedKeys().clear();
      buffer.clear();
      int count = channel.read(buffer);
      if (count < 0) {
        throw new IOException("the connection ended");
      }
      if (count > 0) {
        lastHeardNs = System.nanoTime();
      }
      buffer.flip();
      while (buffer.hasRemaining()) {
        byte next = buffer.get();
        if (next != '\n') {
          line.write(next);
          if (line.size() > ANSWER_BYTES_MAX) {
            throw new IOException("the answer has more than " + ANSWER_BYTES_MAX + " bytes");
          }
          continue;
        }
        ObjectNode message = Json.parse(line.toString(StandardCharsets.UTF_8));
        line.reset();
        if (message.get("result") instanceof ObjectNode result) {
          return result;
        }
        JsonNode error = message.get("error");
        if (error != null) {
          throw new CommandException(ExitCode.ofWord(error.path("code").asText()), error.path("message").asText());
        }
        if (message.get("progress") instanceof ObjectNode step) {
          progress.accept(step);
        }
      }
    }
  }
}
