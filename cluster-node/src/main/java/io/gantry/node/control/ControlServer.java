package io.gantry.node.control;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.nio.file.attribute.UserPrincipal;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import jdk.net.ExtendedSocketOptions;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The node's end of the control socket. Whoever is not the owner, sends too much, too slowly or something that is not a request, is
 * dropped with one line in the log; nobody else notices. Thread-safe.
 */
public final class ControlServer implements AutoCloseable {
  /** Most bytes of a request. */
  public static final int REQUEST_BYTES_MAX = 64 * 1024;

  /** Most clients at once. */
  static final int CLIENTS_MAX = 64;

  /** How often a client that waits hears that the node is still there. */
  static final Duration KEEP_ALIVE = Duration.ofSeconds(5);

  private static final Duration WRITE_DEADLINE = Duration.ofSeconds(10);
  private static final Duration CLOSE_MAX = Duration.ofSeconds(2);
  private static final Logger LOG = LoggerFactory.getLogger(ControlServer.class);

  private final Path socket;
  private final UserPrincipal owner;
  private final RequestHandler handler;
  private final Duration requestDeadline;
  private final ServerSocketChannel listener;
  private final ScheduledExecutorService watch;
  private final Thread acceptor;
  private final Semaphore places = new Semaphore(CLIENTS_MAX);
  private final Set<SocketChannel> clients = ConcurrentHashMap.newKeySet();

  private ControlServer(Path socket, RequestHandler handler, Duration requestDeadline) throws IOException {
    this.socket = socket;
    this.handler = handler;
    this.requestDeadline = requestDeadline;
    // A file in a directory that only the owner may enter: nobody else can connect in the moment before the mode is set.
    Files.deleteIfExists(socket);
    listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    try {
      listener.bind(UnixDomainSocketAddress.of(socket), CLIENTS_MAX);
      Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-------"));
      owner = Files.getOwner(socket);
    } catch (IOException | RuntimeException failure) {
      listener.close();
      throw failure;
    }
    watch =
        Executors.newSingleThreadScheduledExecutor(
            task -> {
              var thread = new Thread(task, "control-watch");
              thread.setDaemon(true);
              return thread;
            });
    acceptor = Thread.ofPlatform().name("control-accept").daemon().unstarted(this::acceptLoop);
  }

  /**
   * Listens on a socket of mode 0600.
   *
   * @param socket its path, in a directory of mode 0700; a file left there by a node that was killed is replaced
   * @param handler answers requests
   */
  public static ControlServer start(Path socket, RequestHandler handler) throws IOException {
    return start(socket, handler, Duration.ofSeconds(5));
  }

  /** As {@link #start(Path, RequestHandler)}, with the time within which a request must have arrived completely. */
  public static ControlServer start(Path socket, RequestHandler handler, Duration requestDeadline) throws IOException {
    var server = new ControlServer(socket, handler, requestDeadline);
    server.acceptor.start();
    return server;
  }

  /** Where it listens. */
  public Path path() {
    return socket;
  }

  private void acceptLoop() {
    while (listener.isOpen()) {
      try {
        SocketChannel client = listener.accept();
        if (!places.tryAcquire()) {
          LOG.warn("Dropped a client of the control socket: {} are connected already.", CLIENTS_MAX);
          client.close();
          continue;
        }
        clients.add(client);
        Thread.ofVirtual().name("control-client").start(() -> serve(client));
      } catch (ClosedChannelException closed) {
        return;
      } catch (IOException failure) {
        LOG.warn("The control socket could not take a connection: {}", failure.getMessage());
        if (!listener.isOpen()) {
          return;
        }
      }
    }
  }

  private void serve(SocketChannel client) {
    try (client) {
      var peer = client.getOption(ExtendedSocketOptions.SO_PEERCRED);
      if (!owner.equals(peer.user())) {
        LOG.warn("Dropped a client of the control socket: it belongs to {}, and only {} may use this node.", peer.user(), owner);
        return;
      }
      answer(client, read(client));
    } catch (MalformedRequest malformed) {
      LOG.warn("Dropped a client of the control socket: {}.", malformed.getMessage());
    } catch (IOException gone) {
      LOG.debug("A client of the control socket went away: {}", gone.toString());
    } finally {
      clients.remove(client);
      places.release();
    }
  }

  private ObjectNode read(SocketChannel client) throws IOException, MalformedRequest {
    ScheduledFuture<?> deadline = closeAfter(client, requestDeadline);
    var buffer = ByteBuffer.allocate(REQUEST_BYTES_MAX);
    try {
      int scanned = 0;
      while (true) {
        if (!buffer.hasRemaining()) {
          throw new MalformedRequest("its request has more than " + REQUEST_BYTES_MAX + " bytes");
        }
        if (client.read(buffer) < 0) {
          throw new MalformedRequest("it hung up after " + buffer.position() + " bytes without a complete request");
        }
        for (; scanned < buffer.position(); scanned++) {
          if (buffer.get(scanned) == '\n') {
            return parse(buffer.flip().limit(scanned));
          }
        }
      }
    } catch (ClosedChannelException closed) {
      throw new MalformedRequest("no complete request came within " + requestDeadline.toMillis() + " ms");
    } finally {
      deadline.cancel(false);
    }
  }

  private static ObjectNode parse(ByteBuffer bytes) throws MalformedRequest {
    try {
      ObjectNode request = Json.parse(StandardCharsets.UTF_8.newDecoder().decode(bytes).toString());
      if (!request.path("command").isTextual()) {
        throw new MalformedRequest("its request names no command");
      }
      return request;
    } catch (CharacterCodingException notText) {
      throw new MalformedRequest("its request is not UTF-8");
    } catch (IOException notJson) {
      throw new MalformedRequest("its request is not one JSON object on one line");
    }
  }

  private void answer(SocketChannel client, ObjectNode request) throws IOException {
    var reply = new Reply(client);
    ScheduledFuture<?> alive =
        watch.scheduleAtFixedRate(reply::keepAlive, KEEP_ALIVE.toMillis(), KEEP_ALIVE.toMillis(), TimeUnit.MILLISECONDS);
    ObjectNode last = Json.object();
    try {
      last.set("result", handler.handle(request.path("command").asText(), request, reply));
    } catch (CommandException refused) {
      last.set("error", error(refused.code(), refused.getMessage()));
    } catch (InterruptedException stopping) {
      Thread.currentThread().interrupt();
      last.set("error", error(ExitCode.UNREACHABLE, "The node is shutting down."));
    } catch (Exception failure) {
      LOG.error("A request over the control socket failed: {}", request.path("command").asText(), failure);
      String sentence = failure.getMessage() == null ? failure.getClass().getSimpleName() : failure.getMessage();
      last.set("error", error(ExitCode.FAILED, sentence));
    } finally {
      alive.cancel(false);
    }
    reply.write(last);
  }

  private static ObjectNode error(ExitCode code, String sentence) {
    return Json.object().put("code", code.word()).put("message", sentence);
  }

  private ScheduledFuture<?> closeAfter(SocketChannel client, Duration duration) throws IOException {
    try {
      return watch.schedule(
          () -> {
            try {
              client.close();
            } catch (IOException alreadyClosed) {
              LOG.debug("Closing a client of the control socket: {}", alreadyClosed.toString());
            }
          },
          duration.toMillis(),
          TimeUnit.MILLISECONDS);
    } catch (RejectedExecutionException ending) {
      throw new IOException("the node is ending", ending);
    }
  }

  /** Stops listening, removes the socket and hangs up on everybody. */
  @Override
  public void close() {
    try {
      listener.close();
      // The descriptor is closed by whoever is in accept just now, on the way out of it.
      if (!acceptor.join(CLOSE_MAX)) {
        LOG.warn("The control socket {} is still being listened on after {} ms", socket, CLOSE_MAX.toMillis());
      }
      Files.deleteIfExists(socket);
      for (SocketChannel client : clients) {
        client.close();
      }
    } catch (IOException failure) {
      LOG.warn("The control socket {} could not be closed cleanly: {}", socket, failure.getMessage());
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
    watch.shutdownNow();
  }

  /** Says what was wrong with a request, for the log. */
  private static final class MalformedRequest extends Exception {
    private static final long serialVersionUID = 1L;

    MalformedRequest(String what) {
      super(what);
    }
  }

  /** Writes lines to one client. Writes of several threads do not mix; nothing is written after the last line. */
  private final class Reply implements RequestHandler.Progress {
    private final SocketChannel client;
    private Optional<IOException> failure = Optional.empty();

    Reply(SocketChannel client) {
      this.client = client;
    }

    @Override
    public void report(ObjectNode progress) {
      ObjectNode line = Json.object();
      line.set("progress", progress);
      try {
        write(line);
      } catch (IOException gone) {
        LOG.debug("A client stopped listening: {}", gone.toString());
      }
    }

    @Override
    public boolean isWanted() {
      return client.isOpen();
    }

    void keepAlive() {
      // The watch must not block on a client that does not read, since it also enforces the deadlines.
      Thread.ofVirtual().start(() -> {
        try {
          write(Json.object().put("alive", true));
        } catch (IOException gone) {
          LOG.debug("A client stopped listening: {}", gone.toString());
        }
      });
    }

    synchronized void write(ObjectNode line) throws IOException {
      if (failure.isPresent()) {
        throw failure.get();
      }
      var bytes = ByteBuffer.wrap((Json.line(line) + "\n").getBytes(StandardCharsets.UTF_8));
      ScheduledFuture<?> deadline = closeAfter(client, WRITE_DEADLINE);
      try {
        while (bytes.hasRemaining()) {
          client.write(bytes);
        }
      } catch (IOException gone) {
        failure = Optional.of(gone);
        client.close();
        throw gone;
      } finally {
        deadline.cancel(false);
      }
    }
  }
}
