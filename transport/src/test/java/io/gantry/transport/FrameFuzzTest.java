package io.gantry.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Nothing that comes from the network can do more than break the stream that it pretends to belong to. */
@Timeout(60)
class FrameFuzzTest {
  private static final long SEED = 20261101;
  private static final int MESSAGE_BYTES_MAX = 1 << 20;

  private final StreamTicket ticket = StreamTicket.of(5, new byte[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
      Optional.empty());

  @Test
  void everyFrameOfACorrectStreamIsTaken() {
    Strict handler = new Strict();
    FrameParser parser = parser(handler);
    for (byte[] frame : stream()) {
      accept(parser, frame);
    }
    assertThat(parser.ended()).isTrue();
    assertThat(handler.events).isEqualTo(5);
  }

  @Test
  void everyTruncatedFrameIsRejected() {
    List<byte[]> stream = stream();
    for (int i = 0; i < stream.size(); i++) {
      byte[] whole = stream.get(i);
      for (int length = 0; length < whole.length; length += 1 + length / 64) {
        FrameParser parser = fed(stream, i);
        byte[] cut = java.util.Arrays.copyOf(whole, length);
        assertThatThrownBy(() -> accept(parser, cut)).isInstanceOf(MalformedFrameException.class);
      }
    }
  }

  @Test
  void everyFlippedBitIsNoticed() {
    List<byte[]> stream = stream();
    Random random = new Random(SEED);
    for (int round = 0; round < 3000; round++) {
      int i = random.nextInt(stream.size());
      byte[] frame = stream.get(i).clone();
      frame[random.nextInt(frame.length)] ^= (byte) (1 << random.nextInt(8));
      assertThatThrownBy(() -> accept(fed(stream, i), frame)).isInstanceOf(MalformedFrameException.class);
    }
  }

  @Test
  void replayedSkippedAndReorderedFramesAreRejected() {
    List<byte[]> stream = stream();
    for (int i = 0; i < stream.size(); i++) {
      for (int other = 0; other < stream.size(); other++) {
        if (other != i) {
          byte[] frame = stream.get(other);
          FrameParser parser = fed(stream, i);
          assertThatThrownBy(() -> accept(parser, frame))
              .isInstanceOf(MalformedFrameException.class).hasMessageContaining("came where another was due");
        }
      }
    }
    FrameParser ended = fed(stream, stream.size());
    byte[] late = frame(Frame.MESSAGE, stream.size(), 0, 1, 0, 0, new byte[0]);
    assertThatThrownBy(() -> accept(ended, late)).hasMessageContaining("after the end");
  }

  @Test
  void nothingIsTakenBeforeTheToken() {
    byte[] message = frame(Frame.MESSAGE, 0, 0, 1, 2, 0, new byte[2]);
    assertThatThrownBy(() -> accept(parser(new Strict()), message)).hasMessageContaining("before the token");
    byte[] wrong = frame(Frame.HELLO, 0, 0, 0, 0, 0, hello(new byte[16]));
    assertThatThrownBy(() -> accept(parser(new Strict()), wrong)).hasMessageContaining("token that is not expected");
    byte[] newer = stream().getFirst();
    newer[Frame.VERSION_AT] = 2;
    assertThatThrownBy(() -> accept(parser(new Strict()), newer)).hasMessageContaining("this node speaks version 1");
  }

  /** The checksum is right, so that the checks behind it are what is tried. */
  @Test
  void framesWithRandomContentNeverDoHarm() {
    Random random = new Random(SEED);
    List<byte[]> stream = stream();
    int rejected = 0;
    int rounds = 30_000;
    for (int round = 0; round < rounds; round++) {
      int i = random.nextInt(stream.size());
      byte[] frame = stream.get(i).clone();
      if (random.nextBoolean()) {
        frame = java.util.Arrays.copyOf(frame, Frame.HEADER_BYTES + random.nextInt(9000));
        ByteBuffer.wrap(frame).order(ByteOrder.LITTLE_ENDIAN).putInt(Frame.LENGTH, frame.length);
      }
      for (int n = 1 + random.nextInt(4); n > 0; n--) {
        // Mostly the header and the table behind it, with values that are likely to hurt.
        int at = Frame.TYPE + random.nextInt(Math.min(frame.length, random.nextInt(4) == 0 ? frame.length : 80) - Frame.TYPE);
        frame[at] = (byte) switch (random.nextInt(4)) {
          case 0 -> 0;
          case 1 -> 0xff;
          case 2 -> 0x7f;
          default -> random.nextInt();
        };
      }
      seal(frame);
      try {
        accept(fed(stream, i), frame);
      } catch (MalformedFrameException expected) {
        rejected++;
      }
    }
    assertThat(rejected).isBetween(rounds / 2, rounds - 1);
  }

  @Test
  void aHugeAnnouncedMessageCostsNothing() {
    FrameParser parser = new FrameParser(ticket, TransportOptions.MESSAGE_BYTES_MAX, new Strict());
    accept(parser, stream().getFirst());
    long before = Runtime.getRuntime().maxMemory();
    // A thousand streams that each announce 1 GiB and send one byte of it would not fit otherwise.
    List<FrameParser> kept = new ArrayList<>();
    for (int i = 0; i < 1000; i++) {
      FrameParser one = new FrameParser(ticket, TransportOptions.MESSAGE_BYTES_MAX, new Strict());
      accept(one, stream().getFirst());
      accept(one, frame(Frame.MESSAGE, 1, 0, 1, TransportOptions.MESSAGE_BYTES_MAX, 0, new byte[1]));
      kept.add(one);
    }
    assertThat(kept).hasSize(1000);
    assertThat(before).isLessThan(1000L << 30);
  }

  @Test
  void garbageAtThePortDoesNotDisturbAStream(@TempDir Path directory) throws Exception {
    Recorder recorder = new Recorder();
    StreamTicket real = StreamTicket.random();
    try (TwoTransports two = new TwoTransports(directory);
        PageStreamReceiver receiver = two.listen(real, recorder);
        PageStreamSender sender = two.connect(real)) {
      Random random = new Random(SEED);
      for (int i = 0; i < 300; i++) {
        sender.pages(1, new long[] {4096L * i}, new int[] {1}, 1, data -> data.fill((byte) 1));
        datagrams(two.destination, random, 10, random.nextInt(), random.nextInt());
        datagrams(two.destination, random, 2, real.streamId(), random.nextInt());
      }
      sender.end();
      assertThat(receiver.await(TwoTransports.PATIENCE)).isTrue();
      assertThat(recorder.failures).isEmpty();
      assertThat(recorder.pages).isEqualTo(300);
    }
  }

  /** Whoever knows the session's number can break that stream, but nothing else. */
  @Test
  void forgedDatagramsOfAStreamBreakAtMostThatStream(@TempDir Path directory) throws Exception {
    try (TwoTransports two = new TwoTransports(directory)) {
      Random random = new Random(SEED);
      for (int round = 0; round < 5; round++) {
        StreamTicket attacked = StreamTicket.random();
        Recorder recorder = new Recorder();
        try (PageStreamReceiver receiver = two.listen(attacked, recorder)) {
          datagrams(two.destination, random, 300, attacked.streamId(), attacked.sessionId());
          assertThat(receiver.state()).isIn(PageStreamReceiver.State.WAITING, PageStreamReceiver.State.FAILED);
        }
        assertThat(recorder.pages).isZero();
        assertThat(recorder.ends).hasValue(0);
        StreamTicket next = StreamTicket.random();
        try (PageStreamReceiver receiver = two.listen(next, new Recorder()); PageStreamSender sender = two.connect(next)) {
          sender.message(1, new byte[1000]);
          sender.end();
          assertThat(receiver.await(TwoTransports.PATIENCE)).isTrue();
          assertThat(receiver.state()).isEqualTo(PageStreamReceiver.State.ENDED);
        }
      }
    }
  }

  /** Datagrams that are random, or that begin like Aeron's (io.aeron.protocol.HeaderFlyweight) and go on at random. */
  private static void datagrams(PageTransport to, Random random, int count, int streamId, int sessionId) throws IOException {
    try (DatagramSocket socket = new DatagramSocket()) {
      for (int i = 0; i < count; i++) {
        byte[] bytes = new byte[random.nextInt(200)];
        random.nextBytes(bytes);
        if (bytes.length >= 40 && random.nextInt(4) != 0) {
          ByteBuffer header = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
          header.putInt(0, random.nextBoolean() ? bytes.length : random.nextInt());
          header.put(4, (byte) 0);
          header.putShort(6, (short) random.nextInt(12));
          header.putInt(8, 32 * random.nextInt(4));
          header.putInt(12, sessionId);
          header.putInt(16, streamId);
          if (random.nextBoolean()) {
            // A SETUP that makes sense: session, stream, two term ids, term length, MTU.
            header.putInt(0, 40);
            header.putShort(6, (short) 5);
            header.putInt(8, 0);
            header.putInt(20, 7);
            header.putInt(24, 7);
            header.putInt(28, 1 << (16 + random.nextInt(6)));
            header.putInt(32, 1408);
          }
        }
        socket.send(new DatagramPacket(bytes, bytes.length, to.address()));
      }
    }
  }

  private FrameParser parser(FrameHandler handler) {
    return new FrameParser(ticket, MESSAGE_BYTES_MAX, handler);
  }

  private FrameParser fed(List<byte[]> stream, int frames) {
    FrameParser parser = parser(new Strict());
    for (int i = 0; i < frames; i++) {
      accept(parser, stream.get(i));
    }
    return parser;
  }

  private static void accept(FrameParser parser, byte[] frame) {
    // As in a term buffer, with something in front and behind.
    ByteBuffer buffer = ByteBuffer.allocateDirect(frame.length + 128);
    buffer.put(64, frame);
    parser.accept(new FrameView(buffer), 64, frame.length);
  }

  private List<byte[]> stream() {
    ByteBuffer pages = ByteBuffer.allocate(3 * Frame.RUN_BYTES + 3 * 4096).order(ByteOrder.LITTLE_ENDIAN);
    pages.putLong(0, 4096).putInt(8, 77);
    pages.putLong(16, 1 << 20).putInt(24, 1);
    pages.putLong(32, 2 << 20).putInt(40, 2);
    ByteBuffer end = ByteBuffer.allocate(Frame.END_BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(3).putLong(77).putLong(2);
    List<byte[]> frames = new ArrayList<>();
    frames.add(frame(Frame.HELLO, 0, 0, 0, 0, 0, hello(ticket.token())));
    frames.add(frame(Frame.PAGES, 1, 1, 9, 2, 3, pages.array()));
    frames.add(frame(Frame.MESSAGE, 2, 0, 4, 100, 0, new byte[60]));
    frames.add(frame(Frame.MESSAGE, 3, 0, 4, 100, 60, new byte[40]));
    frames.add(frame(Frame.MESSAGE, 4, 0, 4, 0, 0, new byte[0]));
    frames.add(frame(Frame.END, 5, 0, 0, 0, 0, end.array()));
    return frames;
  }

  private static byte[] hello(byte[] token) {
    return ByteBuffer.allocate(Frame.HELLO_BYTES).order(ByteOrder.LITTLE_ENDIAN).put(token).putInt(4096).array();
  }

  private static byte[] frame(int type, long sequence, int zeroRuns, int space, int first, int second, byte[] body) {
    ByteBuffer frame = ByteBuffer.allocate(Frame.HEADER_BYTES + body.length).order(ByteOrder.LITTLE_ENDIAN);
    frame.put(Frame.VERSION_AT, Frame.VERSION).put(Frame.TYPE, (byte) type).putShort(Frame.ZERO_RUNS, (short) zeroRuns);
    frame.putLong(Frame.SEQUENCE, sequence).putInt(Frame.LENGTH, frame.capacity());
    frame.putInt(Frame.SPACE, space).putInt(Frame.FIRST, first).putInt(Frame.SECOND, second);
    frame.put(Frame.HEADER_BYTES, body);
    seal(frame.array());
    return frame.array();
  }

  private static void seal(byte[] frame) {
    CRC32C crc = new CRC32C();
    crc.update(frame, Frame.VERSION_AT, frame.length - Frame.VERSION_AT);
    ByteBuffer.wrap(frame).order(ByteOrder.LITTLE_ENDIAN).putInt(Frame.CRC, (int) crc.getValue());
  }

  /** Checks what any handler may rely on. */
  private static final class Strict implements FrameHandler {
    private int events;

    @Override
    public void pages(int space, long[] addresses, int[] counts, int runCount, MemorySegment data) {
      events++;
      long bytes = 0;
      for (int i = 0; i < runCount; i++) {
        checkRun(addresses[i], counts[i]);
        bytes += 4096L * counts[i];
      }
      assertThat(data.byteSize()).isEqualTo(bytes).isPositive();
      assertThat(data.isReadOnly()).isTrue();
    }

    @Override
    public void zero(int space, long address, long pageCount) {
      events++;
      checkRun(address, pageCount);
    }

    private static void checkRun(long address, long pageCount) {
      assertThat(address).isNotNegative();
      assertThat(address % 4096).isZero();
      assertThat(pageCount).isPositive();
      assertThat(address + 4096 * pageCount).isPositive();
    }

    @Override
    public void message(int type, byte[] bytes) {
      events++;
      assertThat(bytes.length).isLessThanOrEqualTo(MESSAGE_BYTES_MAX);
    }

    @Override
    public void end() {
      events++;
    }

    @Override
    public void failed(TransportException reason) {
      throw new AssertionError("The parser does not call this");
    }
  }
}
