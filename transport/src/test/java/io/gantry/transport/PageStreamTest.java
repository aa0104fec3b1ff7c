package io.gantry.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a page stream promises when nothing goes wrong. */
@Timeout(60)
class PageStreamTest {
  private static final Duration PATIENCE = TwoTransports.PATIENCE;

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

  private static StreamTicket ticket(boolean sealed) {
    return sealed ? StreamTicket.randomSealed() : StreamTicket.random();
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void randomPagesInRandomRunsArriveWhereTheyBelong(boolean sealed) throws Exception {
    StreamTicket ticket = ticket(sealed);
    Recorder recorder = new Recorder();
    Map<Integer, Map<Long, byte[]>> truth = new HashMap<>();
    Random random = new Random(42);
    try (PageStreamReceiver receiver = two.listen(ticket, recorder); PageStreamSender sender = two.connect(ticket)) {
      long content = 0;
      for (int call = 0; call < 600; call++) {
        sendRandom(sender, random, truth);
      }
      sender.end();
      assertThat(receiver.await(PATIENCE)).isTrue();
      assertThat(receiver.state()).isEqualTo(PageStreamReceiver.State.ENDED);
      content = sender.pagesSent();
      assertThat(recorder.pages).isEqualTo(content).isPositive();
      assertThat(recorder.zeroPages).isEqualTo(sender.zeroPagesSent()).isPositive();
      assertThat(sender.bytesSent()).isBetween(content * 4096, content * 4096 + content * 200 + 100_000);
    }
    assertThat(recorder.failures).isEmpty();
    assertThat(recorder.ends).hasValue(1);
    assertThat(recorder.spaces.keySet()).isEqualTo(truth.keySet());
    truth.forEach((space, pages) -> assertSamePages(recorder.spaces.get(space), pages));
  }

  private static void sendRandom(PageStreamSender sender, Random random, Map<Integer, Map<Long, byte[]>> truth) {
    int space = random.nextInt(3);
    int pages = 1 + random.nextInt(sender.pagesMax());
    long[] addresses = new long[pages + 3];
    int[] counts = new int[pages + 3];
    int runs = 0;
    long at = 4096L * random.nextInt(1 << 20);
    for (int left = pages; left > 0; runs++) {
      addresses[runs] = at;
      counts[runs] = 1 + random.nextInt(left);
      left -= counts[runs];
      at += 4096L * (counts[runs] + 1 + random.nextInt(100));
    }
    int zeroShare = random.nextInt(4);
    int runCount = runs;
    Map<Long, byte[]> memory = truth.computeIfAbsent(space, s -> new HashMap<>());
    sender.pages(space, addresses, counts, runs, data -> {
      assertThat(data.byteSize()).isEqualTo(4096L * pages);
      long offset = 0;
      for (int run = 0; run < runCount; run++) {
        for (int i = 0; i < counts[run]; i++, offset += 4096) {
          byte[] page = new byte[4096];
          boolean zero = random.nextInt(4) < zeroShare;
          if (!zero) {
            random.nextBytes(page);
            // Some differ from a zero page in their last byte only.
            if (random.nextInt(8) == 0) {
              Arrays.fill(page, (byte) 0);
              page[4095] = 1;
            }
          }
          MemorySegment.copy(page, 0, data, ValueLayout.JAVA_BYTE, offset, 4096);
          if (zero) {
            memory.remove(addresses[run] + 4096L * i);
          } else {
            memory.put(addresses[run] + 4096L * i, page);
          }
        }
      }
    });
    if (random.nextInt(10) == 0) {
      long address = 4096L * random.nextInt(1 << 20);
      long count = 1 + random.nextInt(1000);
      sender.zero(space, address, count);
      for (long i = 0; i < count; i++) {
        memory.remove(address + 4096 * i);
      }
    }
  }

  private static void assertSamePages(Map<Long, byte[]> received, Map<Long, byte[]> truth) {
    assertThat(received.keySet()).isEqualTo(truth.keySet());
    truth.forEach((address, page) -> assertThat(Arrays.equals(received.get(address), page)).as("page %x", address).isTrue());
  }

  @Test
  void zeroPagesCostNextToNothing() throws Exception {
    StreamTicket ticket = StreamTicket.random();
    Recorder recorder = new Recorder();
    try (PageStreamReceiver receiver = two.listen(ticket, recorder); PageStreamSender sender = two.connect(ticket)) {
      long before = sender.bytesSent();
      int[] counts = {sender.pagesMax()};
      for (int i = 0; i < 2000; i++) {
        sender.pages(7, new long[] {4096L * i * counts[0]}, counts, 1, data -> data.fill((byte) 0));
      }
      sender.zero(7, 1L << 40, 1L << 33);
      sender.end();
      assertThat(receiver.await(PATIENCE)).isTrue();
      assertThat(sender.bytesSent() - before).isLessThan(1000);
      assertThat(recorder.zeroPages).isEqualTo(2000L * counts[0] + (1L << 33)).isEqualTo(sender.zeroPagesSent());
      assertThat(recorder.pages).isZero();
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void messagesOfAnySizeArriveWhole(boolean sealed) throws Exception {
    StreamTicket ticket = ticket(sealed);
    Recorder recorder = new Recorder();
    Random random = new Random(1);
    int[] sizes = {0, 1, 100, 65424, 65440, 65441, 65472, 65473, 200_000, 50_000_001};
    byte[][] sent = new byte[sizes.length][];
    try (PageStreamReceiver receiver = two.listen(ticket, recorder); PageStreamSender sender = two.connect(ticket)) {
      for (int i = 0; i < sizes.length; i++) {
        sent[i] = new byte[sizes[i]];
        random.nextBytes(sent[i]);
        sender.message(i, sent[i]);
      }
      sender.end();
      assertThat(receiver.await(PATIENCE)).isTrue();
      assertThat(receiver.failure()).isEmpty();
    }
    assertThat(recorder.messages).hasSize(sizes.length);
    for (int i = 0; i < sizes.length; i++) {
      assertThat(Arrays.equals(recorder.messages.get(i), sent[i])).as("message of %d bytes", sizes[i]).isTrue();
    }
  }

  @Test
  void pagesZerosAndMessagesKeepTheirOrder() throws Exception {
    StreamTicket ticket = StreamTicket.random();
    Recorder recorder = new Recorder();
    try (PageStreamReceiver receiver = two.listen(ticket, recorder); PageStreamSender sender = two.connect(ticket)) {
      for (int i = 0; i < 50; i++) {
        sender.message(1, new byte[10]);
        sender.pages(1, new long[] {4096}, new int[] {1}, 1, data -> data.fill((byte) 1));
        sender.message(2, new byte[100_000]);
        sender.zero(1, 4096, 1);
        sender.message(3, new byte[10]);
        sender.zero(1, 8192, 1);
        sender.pages(1, new long[] {8192}, new int[] {1}, 1, data -> data.fill((byte) 2));
      }
      sender.end();
      assertThat(receiver.await(PATIENCE)).isTrue();
    }
    for (int i = 0; i < 50; i++) {
      assertThat(recorder.order.subList(7 * i, 7 * i + 7))
          .containsExactly("message 1", "pages", "message 2", "zero", "message 3", "zero", "pages");
    }
    assertThat(recorder.spaces.get(1)).containsOnlyKeys(8192L);
  }

  @Test
  void aSlowReceiverHoldsTheSenderBackWithoutBreakingIt() throws Exception {
    StreamTicket ticket = StreamTicket.random();
    Semaphore permits = new Semaphore(0);
    Recorder recorder = new Recorder();
    FrameHandler slow = new ForwardingHandler(recorder) {
      @Override
      public void pages(int space, long[] addresses, int[] counts, int runCount, MemorySegment data) {
        permits.acquireUninterruptibly();
        super.pages(space, addresses, counts, runCount, data);
      }
    };
    try (PageStreamReceiver receiver = two.listen(ticket, slow); PageStreamSender sender = two.connect(ticket)) {
      int frames = 400;
      Thread sending = Thread.ofPlatform().start(() -> {
        int[] counts = {sender.pagesMax()};
        for (int i = 0; i < frames; i++) {
          sender.pages(1, new long[] {4096L * i * counts[0]}, counts, 1, data -> data.fill((byte) 1));
        }
        sender.end();
      });
      // Windows on both sides fill, then nothing moves.
      await().during(Duration.ofMillis(700)).atMost(PATIENCE).until(() -> recorder.pages == 0);
      assertThat(sending.isAlive()).isTrue();
      permits.release(frames);
      assertThat(receiver.await(PATIENCE)).isTrue();
      sending.join(PATIENCE);
      assertThat(recorder.pages).isEqualTo(frames * 15L);
      assertThat(recorder.failures).isEmpty();
    }
  }

  @Test
  void twoStreamsAtOnceDoNotDisturbEachOther() throws Exception {
    StreamTicket first = StreamTicket.random();
    StreamTicket second = StreamTicket.randomSealed();
    StreamTicket blocked = StreamTicket.random();
    Recorder[] recorders = {new Recorder(), new Recorder()};
    Semaphore gate = new Semaphore(0);
    FrameHandler stuck = new ForwardingHandler(new Recorder()) {
      @Override
      public void message(int type, byte[] bytes) {
        gate.acquireUninterruptibly();
      }
    };
    try (PageStreamReceiver stuckReceiver = two.listen(blocked, stuck);
        PageStreamSender stuckSender = two.connect(blocked);
        PageStreamReceiver oneReceiver = two.listen(first, recorders[0]);
        PageStreamReceiver otherReceiver = two.listen(second, recorders[1]);
        PageStreamSender one = two.connect(first);
        PageStreamSender other = two.connect(second)) {
      stuckSender.message(1, new byte[10]);
      stuckSender.flush();
      PageStreamSender[] senders = {one, other};
      Thread[] threads = new Thread[2];
      for (int s = 0; s < 2; s++) {
        int number = s;
        threads[s] = Thread.ofPlatform().start(() -> {
          Random random = new Random(number);
          Map<Integer, Map<Long, byte[]>> truth = new HashMap<>();
          for (int i = 0; i < 300; i++) {
            sendRandom(senders[number], random, truth);
          }
          senders[number].end();
        });
      }
      for (Thread thread : threads) {
        thread.join(PATIENCE);
      }
      assertThat(oneReceiver.await(PATIENCE) && otherReceiver.await(PATIENCE)).isTrue();
      assertThat(recorders[0].failures).isEmpty();
      assertThat(recorders[1].failures).isEmpty();
      assertThat(recorders[0].pages).isEqualTo(one.pagesSent());
      assertThat(recorders[1].pages).isEqualTo(other.pagesSent());
      assertThat(stuckReceiver.state()).isEqualTo(PageStreamReceiver.State.RECEIVING);
      gate.release();
      stuckSender.end();
      assertThat(stuckReceiver.await(PATIENCE)).isTrue();
      assertThat(stuckReceiver.state()).isEqualTo(PageStreamReceiver.State.ENDED);
    }
  }

  @Test
  void aFillerThatFailsSendsNothingAndTheStreamGoesOn() throws Exception {
    StreamTicket ticket = StreamTicket.random();
    Recorder recorder = new Recorder();
    try (PageStreamReceiver receiver = two.listen(ticket, recorder); PageStreamSender sender = two.connect(ticket)) {
      assertThatThrownBy(() -> sender.pages(1, new long[] {0}, new int[] {2}, 1, data -> {
        throw new IllegalStateException("the process is gone");
      })).isInstanceOf(IllegalStateException.class).hasMessage("the process is gone");
      sender.pages(1, new long[] {4096}, new int[] {1}, 1, data -> data.fill((byte) 9));
      sender.end();
      assertThat(receiver.await(PATIENCE)).isTrue();
      assertThat(recorder.pages).isEqualTo(1);
      assertThat(sender.pagesSent()).isEqualTo(1);
    }
  }

  @Test
  void callsThatMakeNoSenseAreRefused() {
    StreamTicket ticket = StreamTicket.random();
    try (PageStreamReceiver receiver = two.listen(ticket, new Recorder()); PageStreamSender sender = two.connect(ticket)) {
      Filler filler = data -> data.fill((byte) 1);
      assertThatThrownBy(() -> sender.pages(1, new long[] {1}, new int[] {1}, 1, filler))
          .hasMessageContaining("starts at a page");
      assertThatThrownBy(() -> sender.pages(1, new long[] {-4096}, new int[] {1}, 1, filler))
          .hasMessageContaining("starts at a page");
      assertThatThrownBy(() -> sender.pages(1, new long[] {0}, new int[] {0}, 1, filler))
          .hasMessageContaining("at least one page");
      assertThatThrownBy(() -> sender.pages(1, new long[] {0}, new int[] {16}, 1, filler))
          .hasMessageContaining("at most 15 pages");
      assertThatThrownBy(() -> sender.pages(1, new long[16], new int[16], 16, filler)).hasMessageContaining("1 to 15 runs");
      assertThatThrownBy(() -> sender.zero(1, 4096, 0)).hasMessageContaining("at least one page");
      sender.end();
      sender.end();
      assertThatThrownBy(() -> sender.message(1, new byte[1]))
          .isInstanceOf(TransportException.class).hasMessageContaining("ended");
      assertThat(receiver.state()).isNotEqualTo(PageStreamReceiver.State.FAILED);
    }
  }

  @Test
  void aSmallMtuCarriesPagesOneByOne() throws Exception {
    two.close();
    two = new TwoTransports(
        TwoTransports.options("127.0.0.2").withDirectory(directory).withMtuBytes(TransportOptions.MTU_MIN),
        TwoTransports.options("127.0.0.3").withDirectory(directory).withMtuBytes(8960));
    StreamTicket ticket = StreamTicket.random();
    Recorder recorder = new Recorder();
    try (PageStreamReceiver receiver = two.listen(ticket, recorder); PageStreamSender sender = two.connect(ticket)) {
      assertThat(sender.pagesMax()).isEqualTo(1);
      Map<Integer, Map<Long, byte[]>> truth = new HashMap<>();
      Random random = new Random(3);
      for (int i = 0; i < 300; i++) {
        sendRandom(sender, random, truth);
        sender.zero(0, 8192L * random.nextInt(1000), 1);
      }
      sender.message(1, new byte[100_000]);
      sender.end();
      assertThat(receiver.await(PATIENCE)).isTrue();
      assertThat(receiver.failure()).isEmpty();
      assertThat(recorder.pages).isEqualTo(sender.pagesSent());
    }
  }

  @Test
  void aReceiverMayCloseAsSoonAsItHasEverything() throws Exception {
    for (int i = 0; i < 60; i++) {
      StreamTicket ticket = StreamTicket.random();
      AtomicReference<PageStreamReceiver> self = new AtomicReference<>();
      FrameHandler closing = new ForwardingHandler(new Recorder()) {
        @Override
        public void end() {
          self.get().close();
        }
      };
      try (PageStreamReceiver receiver = two.destination.listen(ticket, closing, PATIENCE);
          PageStreamSender sender = connect(receiver, self, ticket)) {
        for (int n = 0; n < 5; n++) {
          sender.pages(1, new long[] {0}, new int[] {15}, 1, data -> data.fill((byte) 1));
        }
        sender.end();
        assertThat(receiver.await(PATIENCE)).isTrue();
        assertThat(receiver.state()).isEqualTo(PageStreamReceiver.State.ENDED);
      }
    }
  }

  private PageStreamSender connect(PageStreamReceiver receiver, AtomicReference<PageStreamReceiver> self, StreamTicket ticket) {
    self.set(receiver);
    receiver.start();
    return two.connect(ticket);
  }

  @Test
  void theCallerMayPollOnItsOwnThread() {
    StreamTicket ticket = StreamTicket.random();
    Recorder recorder = new Recorder();
    try (PageStreamReceiver receiver = two.destination.listen(ticket, recorder, PATIENCE)) {
      Thread sending = Thread.ofPlatform().start(() -> {
        try (PageStreamSender sender = two.connect(ticket)) {
          sender.message(5, new byte[3]);
          sender.end();
        }
      });
      receiver.run();
      assertThat(receiver.state()).isEqualTo(PageStreamReceiver.State.ENDED);
      assertThat(recorder.messages).hasSize(1);
      assertThat(recorder.ends).hasValue(1);
      await().atMost(PATIENCE).until(() -> !sending.isAlive());
    }
  }
}
