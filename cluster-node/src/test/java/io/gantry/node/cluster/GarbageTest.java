package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import io.gantry.node.control.ControlClient;
import io.gantry.node.control.ControlSocket;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A real node that is sent what nobody should send, on every port it opens. The seeds are fixed. */
@Tag("long")
class GarbageTest {
  private static final int ACTORS_PORT = 7750;
  private static final int PAGES_PORT = 7751;

  /** What a node may hold on to after all of it, code that was compiled meanwhile included. */
  private static final long GROWN_KIB_MAX = 96 * 1024;

  /** "AKKA", and the number of the stream of ordinary messages: how a connection of Artery over TCP begins. */
  private static final byte[] ARTERY_HEADER = {'A', 'K', 'K', 'A', 2};

  private TestCluster cluster;
  private TestCluster.Node node;
  private String address;
  private long rssKib;
  private long descriptors;
  private long lines;

  @BeforeEach
  void start() throws IOException {
    cluster = TestCluster.start(TestCluster.Options.nodes(1).withoutRehearsal());
    node = cluster.node(0);
    address = TestCluster.loopback(2);
    runsAndEndsAContainer(); // what that needs is loaded before it is measured
    rssKib = residentKib();
    descriptors = descriptors();
    lines = lines();
  }

  @AfterEach
  void stop() {
    cluster.close();
  }

  private long residentKib() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/" + node.pid() + "/status"))) {
      if (line.startsWith("VmRSS:")) {
        return Long.parseLong(line.replaceAll("[^0-9]", ""));
      }
    }
    throw new AssertionError("the node has no resident memory");
  }

  private long descriptors() throws IOException {
    try (var open = Files.list(Path.of("/proc/" + node.pid() + "/fd"))) {
      return open.count();
    }
  }

  private long lines() {
    return node.log().lines().count();
  }

  private void runsAndEndsAContainer() {
    JsonNode run = node.run("still", "sleep", "600");
    assertThat(ProcessHandle.of(run.path("init_pid").asLong())).isPresent();
    assertThat(node.container("still").orElseThrow().path("status").asText()).isEqualTo("running");
    node.ask(ControlClient.request("stop").put("container", "still"));
    await().atMost(Duration.ofSeconds(10)).until(() -> node.container("still").isEmpty());
  }

  /** @param linesMax how many lines all that may have left in the log */
  private void assertUnharmed(long linesMax) throws IOException {
    assertThat(node.isAlive()).isTrue();
    runsAndEndsAContainer();
    // Connections that were closed are noticed in a moment.
    await().atMost(Duration.ofSeconds(20)).until(() -> descriptors() <= descriptors + 10);
    assertThat(residentKib() - rssKib).as("resident memory, in KiB").isLessThan(GROWN_KIB_MAX);
    String log = node.log();
    assertThat(log).as("its actors were not restarted").doesNotContain("started anew", "Terminating system", "OutOfMemory");
    assertThat(log.lines().count() - lines).as("lines in the log:\n" + tail(log)).isLessThanOrEqualTo(linesMax);
  }

  private static String tail(String log) {
    return log.substring(Math.max(0, log.length() - 6000));
  }

  // ── actors ───────────────────────────────────────────────────────────────────────────────────────────────────────

  @ParameterizedTest
  @ValueSource(strings = {"noise", "header and noise", "huge frame", "frame of noise", "half a frame"})
  void whatIsNoMessageEndsThatConnectionAndNothingElse(String kind) throws IOException {
    var random = new SplittableRandom(kind.hashCode());
    int senders = 40;
    for (int i = 0; i < senders; i++) {
      sendAndClose(bytes(kind, random));
    }
    assertUnharmed(senders + 20);
  }

  private static byte[] bytes(String kind, SplittableRandom random) {
    return switch (kind) {
      case "noise" -> noise(random, 1 + random.nextInt(20_000));
      case "header and noise" -> joined(ARTERY_HEADER, noise(random, 1 + random.nextInt(20_000)));
      case "huge frame" -> joined(ARTERY_HEADER, frame(Integer.MAX_VALUE - random.nextInt(1 << 20), noise(random, 5000)));
      case "frame of noise" -> {
        byte[] noise = noise(random, 28 + random.nextInt(2000));
        yield joined(ARTERY_HEADER, frame(noise.length, noise));
      }
      case "half a frame" -> joined(ARTERY_HEADER, frame(100_000, noise(random, 50)));
      default -> throw new IllegalArgumentException(kind);
    };
  }

  /** A frame of Artery: its length, lowest byte first, and its content. */
  private static byte[] frame(int length, byte[] content) {
    return ByteBuffer.allocate(4 + content.length).order(ByteOrder.LITTLE_ENDIAN).putInt(length).put(content).array();
  }

  private static byte[] noise(SplittableRandom random, int length) {
    var bytes = new byte[length];
    random.nextBytes(bytes);
    return bytes;
  }

  private static byte[] joined(byte[] first, byte[] second) {
    return ByteBuffer.allocate(first.length + second.length).put(first).put(second).array();
  }

  /** Sends, then waits until the node has ended the connection or a moment has passed. */
  private void sendAndClose(byte[] bytes) throws IOException {
    try (var socket = connect()) {
      socket.setSoTimeout(300);
      socket.getOutputStream().write(bytes);
      socket.getOutputStream().flush();
      while (socket.getInputStream().read() >= 0) {
        // whatever it answers
      }
    } catch (java.net.SocketException | java.net.SocketTimeoutException dropped) {
      // It may reset the connection while it is written to, or wait for more.
    }
  }

  private Socket connect() throws IOException {
    var socket = new Socket();
    socket.connect(new InetSocketAddress(address, ACTORS_PORT), 5000);
    return socket;
  }

  @Test
  void manyConnectionsThatSayNothingOrHalfDoNotKeepItFromWorking() throws IOException {
    var random = new SplittableRandom(7);
    var open = new ArrayList<Socket>();
    try {
      for (int i = 0; i < 300; i++) {
        Socket socket = connect();
        open.add(socket);
        if (i % 3 == 1) {
          socket.getOutputStream().write(ARTERY_HEADER, 0, 1 + random.nextInt(ARTERY_HEADER.length));
        } else if (i % 3 == 2) {
          socket.getOutputStream().write(joined(ARTERY_HEADER, frame(1 << 19, noise(random, 10))));
        }
      }
      runsAndEndsAContainer();
    } finally {
      for (Socket socket : open) {
        socket.close();
      }
    }
    assertUnharmed(120);
  }

  // ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────

  @Test
  void datagramsThatNobodyExpectsAreDropped() throws IOException {
    var random = new SplittableRandom(11);
    try (var socket = new DatagramSocket()) {
      for (int i = 0; i < 4000; i++) {
        send(socket, noise(random, random.nextInt(1500)));
      }
      for (int i = 0; i < 40; i++) {
        send(socket, noise(random, 65_507)); // the longest that UDP over IPv4 has room for
      }
      for (int i = 0; i < 4000; i++) {
        byte[] frame = aeronFrame(random);
        if (random.nextInt(3) == 0) {
          frame[random.nextInt(frame.length)] ^= (byte) (1 << random.nextInt(8));
        }
        send(socket, random.nextInt(4) == 0 ? java.util.Arrays.copyOf(frame, random.nextInt(frame.length + 1)) : frame);
      }
    }
    assertUnharmed(60);
  }

  private void send(DatagramSocket socket, byte[] bytes) throws IOException {
    socket.send(new DatagramPacket(bytes, bytes.length, InetAddress.getByName(address), PAGES_PORT));
  }

  /**
   * A frame as Aeron's driver knows it (Aeron's protocol specification): length, version, flags and type, and for
   * some types session, stream and terms that are nobody's.
   */
  private static byte[] aeronFrame(SplittableRandom random) {
    int type = random.nextInt(14);
    int length = type == 5 ? 40 : 24 + 8 * random.nextInt(100);
    var frame = ByteBuffer.wrap(noise(random, length)).order(ByteOrder.LITTLE_ENDIAN);
    frame.putInt(0, random.nextInt(5) == 0 ? random.nextInt() : length).put(4, (byte) 0).putShort(6, (short) type);
    if (type == 5) {
      frame.putInt(16, random.nextInt(1100)); // stream
      frame.putInt(28, 1 << 16 + random.nextInt(15)); // term length, up to 1 GiB
      frame.putInt(32, 1408);
    }
    return frame.array();
  }

  // ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────

  @Test
  void whatIsNoCommandEndsThatConnectionAndNothingElse() throws IOException {
    var random = new SplittableRandom(13);
    int senders = 60;
    for (int i = 0; i < senders; i++) {
      try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
        channel.connect(UnixDomainSocketAddress.of(ControlSocket.in(node.stateDirectory())));
        byte[] noise = noise(random, 1 + random.nextInt(i % 10 == 0 ? 100_000 : 2000));
        noise[noise.length - 1] = '\n';
        try {
          channel.write(ByteBuffer.wrap(noise));
          channel.read(ByteBuffer.allocate(1000));
        } catch (IOException dropped) {
          // It ends the connection as soon as it knows enough.
        }
      }
    }
    assertUnharmed(senders + 20);
  }
}
