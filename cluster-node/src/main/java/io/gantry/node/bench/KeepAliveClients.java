package io.gantry.node.bench;

import io.gantry.node.Json;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.locks.LockSupport;

/**
 * Many clients of a web server, as a process: each keeps its connection and asks for a file, and again some time after each
 * answer. For each line on standard input it answers with
 * one JSON object on standard output, which is about the time since the line before: {@code answers, least} (of the client that
 * got the fewest), {@code longest_ms} (from question to
 * whole answer, those that wait included), {@code errors []} (each ends a client). Ends with its input. Arguments: address, port,
 * path, bytes of an answer's body, clients, milliseconds
 * between an answer and the next question.
 */
final class KeepAliveClients {
  private static final int ERRORS_SHOWN = 5;
  private static final int ROOM_BYTES = 64 * 1024;
  private static final long MS = 1_000_000;
  private static final long LISTENING_NS_MAX = 10_000 * MS;
  private static final long LOOK_NS = 20 * MS;

  private final Selector selector;
  private final byte[] question;
  private final int bodyBytes;
  private final long everyNs;
  private final List<Client> clients = new ArrayList<>();
  private final List<String> errors = new ArrayList<>();
  private final ByteBuffer room = ByteBuffer.allocateDirect(ROOM_BYTES);
  private long longestNs;

  private static final class Client {
    private final SocketChannel channel;
    private long dueNs;
    private long askedNs;
    private int received;
    private int wanted;
    private long answers;
    private boolean ended;

    Client(SocketChannel channel, long dueNs) {
      this.channel = channel;
      this.dueNs = dueNs;
    }

    boolean waits() {
      return !ended && askedNs != 0;
    }
  }

  private KeepAliveClients(Selector selector, String path, int bodyBytes, long everyNs) {
    this.selector = selector;
    this.question = ("GET " + path + " HTTP/1.1\r\nHost: bench\r\n\r\n").getBytes(StandardCharsets.US_ASCII);
    this.bodyBytes = bodyBytes;
    this.everyNs = everyNs;
  }

  public static void main(String[] arguments) throws IOException {
    var address = new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1]));
    int count = Integer.parseInt(arguments[4]);
    long everyNs = Long.parseLong(arguments[5]) * MS;
    var lines = new ConcurrentLinkedQueue<String>();
    try (Selector selector = Selector.open()) {
      var all = new KeepAliveClients(selector, arguments[2], Integer.parseInt(arguments[3]), everyNs);
      for (int i = 0; i < count; i++) {
        SocketChannel channel = connect(address);
        channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
        channel.configureBlocking(false);
        // Spread, so that they do not all ask at once.
        var client = new Client(channel, System.nanoTime() + everyNs * i / count);
        channel.register(selector, SelectionKey.OP_READ, client);
        all.clients.add(client);
      }
      var reading = Thread.ofPlatform().name("input").start(() -> read(lines, selector));
      while (reading.isAlive() || !lines.isEmpty()) {
        all.turn();
        if (lines.poll() != null) {
          System.out.println(all.report());
        }
      }
    }
  }

  /** A server that has just been started may not listen yet. */
  private static SocketChannel connect(InetSocketAddress address) throws IOException {
    long endNs = System.nanoTime() + LISTENING_NS_MAX;
    while (true) {
      try {
        return SocketChannel.open(address);
      } catch (ConnectException refused) {
        if (System.nanoTime() > endNs) {
          throw refused;
        }
        LockSupport.parkNanos(LOOK_NS);
      }
    }
  }

  private static void read(ConcurrentLinkedQueue<String> lines, Selector selector) {
    try (var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII))) {
      for (String line = input.readLine(); line != null; line = input.readLine()) {
        lines.add(line);
        selector.wakeup();
      }
    } catch (IOException ended) {
      return;
    } finally {
      selector.wakeup();
    }
  }

  private void turn() throws IOException {
    selector.select(1);
    for (SelectionKey key : selector.selectedKeys()) {
      var client = (Client) key.attachment();
      try {
        hear(client);
      } catch (IOException failure) {
        end(client, key, failure.toString());
      }
    }
    selector.selectedKeys().clear();
    long now = System.nanoTime();
    for (Client client : clients) {
      if (!client.ended && client.askedNs == 0 && now >= client.dueNs) {
        try {
          client.askedNs = now;
          client.channel.write(ByteBuffer.wrap(question));
        } catch (IOException failure) {
          end(client, client.channel.keyFor(selector), failure.toString());
        }
      }
    }
  }

  private void hear(Client client) throws IOException {
    room.clear();
    int length = client.channel.read(room);
    if (length < 0) {
      throw new IOException("the server has closed the connection");
    }
    if (client.received == 0 && length > 0) {
      // Headers are sent in one piece, which is a small part of a segment.
      client.wanted = endOfHeaders(length) + bodyBytes;
    }
    client.received += length;
    if (client.received > client.wanted) {
      throw new IOException("an answer of " + client.received + " bytes and not " + client.wanted);
    }
    if (client.received == client.wanted && length > 0) {
      long now = System.nanoTime();
      longestNs = Math.max(longestNs, now - client.askedNs);
      client.askedNs = 0;
      client.received = 0;
      client.answers++;
      client.dueNs = now + everyNs;
    }
  }

  private int endOfHeaders(int length) throws IOException {
    for (int i = 3; i < length; i++) {
      if (room.get(i) == '\n' && room.get(i - 2) == '\n') {
        if (room.get(9) != '2') {
          throw new IOException("the server has answered with status " + (char) room.get(9) + (char) room.get(10) + (char) room.get(11));
        }
        return i + 1;
      }
    }
    throw new IOException("an answer without headers");
  }

  private void end(Client client, SelectionKey key, String error) throws IOException {
    client.ended = true;
    errors.add(error);
    key.cancel();
    client.channel.close();
  }

  private String report() {
    long now = System.nanoTime();
    long waitingNs = clients.stream().filter(Client::waits).mapToLong(client -> now - client.askedNs).max().orElse(0);
    var report = Json.object().put("longest_ms", Json.round(Math.max(longestNs, waitingNs) / (double) MS));
    report.put("answers", clients.stream().mapToLong(client -> client.answers).sum());
    report.put("least", clients.stream().filter(client -> !client.ended).mapToLong(client -> client.answers).min().orElse(0));
    report.put("errors", errors.size());
    var shown = report.putArray("some_errors");
    errors.stream().limit(ERRORS_SHOWN).forEach(shown::add);
    longestNs = 0;
    clients.forEach(client -> client.answers = 0);
    errors.clear();
    return report.toString();
  }
}
