package io.gantry.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.foreign.MemorySegment;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What a page stream promises when something goes wrong: a sentence, soon, and nothing left behind. */
@Timeout(60)
class BrokenStreamTest {
  private static final Duration PATIENCE = TwoTransports.PATIENCE;
  private static final Duration SHORT = Duration.ofMillis(500);

  /** One silence of a second, the time to notice it, and room for a busy machine. */
  private static final long LOSS_NS_MAX = TimeUnit.MILLISECONDS.toNanos(4_000);

  @TempDir Path directory;
  private TwoTransports two;

  @BeforeEach
  void open() {
    two = new TwoTransports(directory);
  }

  @AfterEach
  void close() {
    two.close();
  }

  @Test
  void aKilledReceiverBreaksTheSenderWithinAMoment() throws Exception {
    StreamTicket ticket = StreamTicket.random();
    try (Peer peer = new Peer("receive", ticket.text(), directory.toString())) {
      int port = Integer.parseInt(peer.line());
      InetSocketAddress remote = new InetSocketAddress("127.0.0.4", port);
      try (PageStreamSender sender = two.source.connect(remote, ticket, PATIENCE)) {
        sender.message(1, new byte[100]);
        sender.flush();
        peer.kill();
        long startNs = System.nanoTime();
        assertThatThrownBy(() -> sendForEver(sender))
            .isInstanceOf(TransportException.class).hasMessageContaining("the receiver is gone");
        assertSoon("A killed receiver was noticed", startNs);
        // And every further call says the same.
        assertThatThrownBy(sender::flush).isInstanceOf(TransportException.class).hasMessageContaining("the receiver is gone");
      }
    }
  }

  @Test
  void aKilledSenderBreaksTheReceiverWithinAMoment() throws Exception {
    StreamTicket ticket = StreamTicket.random();
    Recorder recorder = new Recorder();
    try (PageStreamReceiver receiver = two.listen(ticket, recorder);
        Peer peer = new Peer("send", ticket.text(), directory.toString(), "" + two.destination.address().getPort())) {
      await().atMost(PATIENCE).until(() -> !recorder.messages.isEmpty());
      peer.kill();
      long startNs = System.nanoTime();
      assertThat(receiver.await(PATIENCE)).isTrue();
      assertSoon("A killed sender was noticed", startNs);
      assertThat(receiver.state()).isEqualTo(PageStreamReceiver.State.FAILED);
      assertThat(recorder.failures).singleElement().asString().contains("the sender is gone before the end");
      assertThat(recorder.ends).hasValue(0);
    }
  }

  @Test
  void aKilledPeersDirectoryIsSweptByTheNextTransport() throws Exception {
    StreamTicket ticket = StreamTicket.random();
    try (Peer peer = new Peer("receive", ticket.text(), directory.toString())) {
      peer.line();
      peer.kill();
    }
    assertThat(directories()).hasSize(3);
    PageTransport.open(TwoTransports.options("127.0.0.5").withDirectory(directory)).close();
    assertThat(directories()).containsExactlyInAnyOrder(two.source.directory(), two.destination.directory());
  }

  private List<Path> directories() throws IOException {
    try (var entries = Files.list(directory)) {
      return entries.toList();
    }
  }

  @Test
  void aSenderThatClosesBeforeTheEndBreaksTheReceiverAtOnce() throws Exception {
    StreamTicket ticket = StreamTicket.random();
    Recorder recorder = new Recorder();
    try (PageStreamReceiver receiver = two.listen(ticket, recorder)) {
      PageStreamSender sender = two.connect(ticket);
      sender.message(1, new byte[10]);
      sender.flush();
      await().atMost(PATIENCE).until(() -> !recorder.messages.isEmpty());
      sender.close();
      assertThat(receiver.await(Duration.ofSeconds(3))).isTrue();
      assertThat(recorder.failures).singleElement().asString().contains("before the end");
      assertThatThrownBy(sender::flush).isInstanceOf(TransportException.class).hasMessageContaining("closed");
    }
  }

  @Test
  void aReceiverThatClosesBreaksTheSender() {
    StreamTicket ticket = StreamTicket.random();
    PageStreamReceiver receiver = two.listen(ticket, new Recorder());
    try (PageStreamSender sender = two.connect(ticket)) {
      receiver.close();
      receiver.close();
      assertThat(receiver.state()).isEqualTo(PageStreamReceiver.State.CLOSED);
      assertThatThrownBy(() -> sendForEver(sender))
          .isInstanceOf(TransportException.class).hasMessageContaining("the receiver is gone");
    }
  }

  @Test
  void aHandlerThatFailsTellsTheSenderWhy() throws Exception {
    StreamTicket ticket = StreamTicket.random();
    Recorder recorder = new Recorder();
    FrameHandler failing = new ForwardingHandler(recorder) {
      @Override
      public void pages(int space, long[] addresses, int[] counts, int runCount, MemorySegment data) {
        throw new IllegalStateException("process 12 has no memory left");
      }
    };
    try (PageStreamReceiver receiver = two.listen(ticket, failing); PageStreamSender sender = two.connect(ticket)) {
      assertThatThrownBy(() -> sendForEver(sender))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("turned it away")
          .hasMessageContaining("process 12 has no memory left");
      assertThat(receiver.await(PATIENCE)).isTrue();
      assertThat(receiver.failure().orElseThrow()).hasCauseInstanceOf(IllegalStateException.class);
      assertThat(recorder.failures).hasSize(1);
    }
  }

  @Test
  void aReceiverThatTakesNothingEndsTheSendersPatience() throws Exception {
    StreamTicket ticket = StreamTicket.random();
    CountDownLatch gate = new CountDownLatch(1);
    FrameHandler stuck = new ForwardingHandler(new Recorder()) {
      @Override
      public void pages(int space, long[] addresses, int[] counts, int runCount, MemorySegment data) {
        try {
          gate.await();
        } catch (InterruptedException e) {
          throw new IllegalStateException(e);
        }
      }
    };
    try (PageStreamReceiver receiver = two.listen(ticket, stuck);
        PageStreamSender sender = two.source.connect(two.destination.address(), ticket, Duration.ofMillis(1500))) {
      long startNs = System.nanoTime();
      assertThatThrownBy(() -> sendForEver(sender))
          .isInstanceOf(TransportException.class).hasMessageContaining("has taken nothing for 1500 ms");
      assertThat(System.nanoTime() - startNs).isLessThan(TimeUnit.SECONDS.toNanos(6));
      gate.countDown();
      assertThat(receiver.state()).isNotEqualTo(PageStreamReceiver.State.ENDED);
    }
  }

  @Test
  void aWrongTokenFindsNobody() {
    StreamTicket expected = StreamTicket.random();
    StreamTicket wrong = StreamTicket.of(expected.streamId(), StreamTicket.random().token(), Optional.empty());
    Recorder recorder = new Recorder();
    try (PageStreamReceiver receiver = two.listen(expected, recorder)) {
      assertThatThrownBy(() -> two.source.connect(two.destination.address(), wrong, SHORT))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("nobody there has expected this stream and token");
      // The rightful sender is not disturbed.
      assertThat(receiver.state()).isEqualTo(PageStreamReceiver.State.WAITING);
      try (PageStreamSender sender = two.connect(expected)) {
        sender.end();
        assertThat(receiver.await(PATIENCE)).isTrue();
        assertThat(receiver.state()).isEqualTo(PageStreamReceiver.State.ENDED);
      }
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void aWrongKeyIsTurnedAway() throws Exception {
    StreamTicket ticket = StreamTicket.randomSealed();
    Recorder recorder = new Recorder();
    try (PageStreamReceiver receiver = two.listen(ticket, recorder);
        PageStreamSender sender = two.connect(ticket.sealedWith(StreamKey.random()))) {
      assertThatThrownBy(() -> sendForEver(sender))
          .isInstanceOf(TransportException.class).hasMessageContaining("not sealed with this stream's key");
      assertThat(receiver.await(PATIENCE)).isTrue();
      assertThat(recorder.failures).hasSize(1);
      assertThat(recorder.pages).isZero();
    }
  }

  @Test
  void anUnsealedStreamIsTurnedAwayWhereSealsAreExpected() throws Exception {
    StreamTicket ticket = StreamTicket.randomSealed();
    StreamTicket bare = StreamTicket.of(ticket.streamId(), ticket.token(), Optional.empty());
    Recorder recorder = new Recorder();
    try (PageStreamReceiver receiver = two.listen(ticket, recorder); PageStreamSender sender = two.connect(bare)) {
      assertThatThrownBy(() -> sendForEver(sender))
          .isInstanceOf(TransportException.class).hasMessageContaining("sealed where it must not be");
      assertThat(receiver.await(PATIENCE)).isTrue();
    }
  }

  @Test
  void waitingForASenderEnds() throws Exception {
    Recorder recorder = new Recorder();
    try (PageStreamReceiver receiver = two.destination.listen(StreamTicket.random(), recorder, SHORT).start()) {
      assertThat(receiver.await(PATIENCE)).isTrue();
      assertThat(recorder.failures).singleElement().asString().contains("no sender has shown the token for 500 ms");
    }
  }

  @Test
  void aMessageLargerThanTheReceiverTakesBreaksTheStream() throws Exception {
    two.close();
    two = new TwoTransports(
        TwoTransports.options("127.0.0.2").withDirectory(directory),
        TwoTransports.options("127.0.0.3").withDirectory(directory).withMessageBytesMax(100_000));
    StreamTicket ticket = StreamTicket.random();
    Recorder recorder = new Recorder();
    try (PageStreamReceiver receiver = two.listen(ticket, recorder); PageStreamSender sender = two.connect(ticket)) {
      sender.message(1, new byte[100_000]);
      assertThatThrownBy(() -> {
        sender.message(1, new byte[100_001]);
        sendForEver(sender);
      }).isInstanceOf(TransportException.class).hasMessageContaining("larger than this node takes");
      assertThat(receiver.await(PATIENCE)).isTrue();
      assertThat(recorder.messages).hasSize(1);
    }
  }

  @Test
  void closingTheTransportEndsAWaitingSender() throws Exception {
    StreamTicket ticket = StreamTicket.random();
    try (PageStreamReceiver receiver = two.destination.listen(ticket, new Recorder(), PATIENCE)) {
      AtomicReference<Throwable> thrown = new AtomicReference<>();
      CountDownLatch connected = new CountDownLatch(1);
      Thread sending = Thread.ofPlatform().start(() -> {
        try (PageStreamSender sender = two.connect(ticket)) {
          connected.countDown();
          sendForEver(sender);
        } catch (TransportException e) {
          thrown.set(e);
        }
      });
      assertThat(connected.await(10, TimeUnit.SECONDS)).isTrue();
      two.source.close();
      sending.join(PATIENCE);
      assertThat(thrown.get()).isInstanceOf(TransportException.class).hasMessageContaining("closed");
      assertThat(receiver.state()).isNotEqualTo(PageStreamReceiver.State.ENDED);
    }
  }

  @Test
  void aPortInUseIsASentence() throws Exception {
    try (DatagramSocket taken = new DatagramSocket(new InetSocketAddress("127.0.0.6", 0))) {
      TransportOptions options = TwoTransports.options("127.0.0.6").withDirectory(directory).withPort(taken.getLocalPort());
      assertThatThrownBy(() -> PageTransport.open(options))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("UDP 127.0.0.6:" + taken.getLocalPort() + " cannot be received on")
          .hasMessageContaining("choose another port");
    }
    assertThatThrownBy(() -> PageTransport.open(TwoTransports.options("192.0.2.1").withDirectory(directory)))
        .isInstanceOf(TransportException.class)
        .hasMessageContaining("an address of this host");
    TransportOptions nowhere = TwoTransports.options("127.0.0.6").withDirectory(directory.resolve("missing"));
    assertThatThrownBy(() -> PageTransport.open(nowhere))
        .isInstanceOf(TransportException.class).hasMessageContaining("not a writable directory");
  }

  private static void assertSoon(String what, long startNs) {
    long tookNs = System.nanoTime() - startNs;
    System.err.println(what + " after " + TimeUnit.NANOSECONDS.toMillis(tookNs) + " ms");
    assertThat(tookNs).isLessThan(LOSS_NS_MAX);
  }

  private static void sendForEver(PageStreamSender sender) {
    int[] counts = {sender.pagesMax()};
    while (!Thread.currentThread().isInterrupted()) {
      sender.pages(1, new long[] {0}, counts, 1, data -> data.fill((byte) 1));
    }
  }

  /** The other end, in a JVM of its own that can be killed. */
  private static final class Peer implements AutoCloseable {
    private final Process process;
    private final BufferedReader output;

    Peer(String... arguments) throws IOException {
      List<String> command = new ArrayList<>(List.of(System.getProperty("java.home") + "/bin/java", "-Xmx128m"));
      command.addAll(List.of("--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED", "--enable-native-access=ALL-UNNAMED"));
      command.addAll(List.of("-cp", System.getProperty("java.class.path"), StreamPeer.class.getName()));
      command.addAll(List.of(arguments));
      process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
      output = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    String line() throws IOException {
      return output.readLine();
    }

    void kill() {
      process.destroyForcibly();
      await().atMost(PATIENCE).until(() -> !process.isAlive());
    }

    @Override
    public void close() {
      kill();
    }
  }
}
