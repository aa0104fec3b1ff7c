package io.gantry.transport;

import io.aeron.logbuffer.BufferClaim;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.Optional;
import java.util.zip.CRC32C;
import org.agrona.MutableDirectBuffer;

/**
 * Builds frames: in place in Aeron's claimed buffer, or, when the stream is sealed, in a buffer beside it from which it is
 * encrypted into the claim. {@link #begin}, fill {@link #body()} of {@link #view()}, then {@link #commit} or {@link #abandon}.
 * For one thread.
 */
final class FrameWriter {
  /** Aeron's own header in front of each claim (io.aeron.protocol.DataHeaderFlyweight). */
  private static final int AERON_HEADER_BYTES = 32;

  private final Outlet outlet;
  private final Optional<FrameSeal> seal;
  private final FrameView[] scratch;
  private final BufferClaim claim = new BufferClaim();
  private final CRC32C crc = new CRC32C();
  private final FrameViews views = new FrameViews();
  private FrameView view;
  private int frameAt;
  private int bodyBytes;
  private long sequence;
  private long bytesSent;

  FrameWriter(Outlet outlet, StreamTicket ticket) {
    this.outlet = outlet;
    seal = ticket.key().map(key -> new FrameSeal(ticket, key));
    // Two, so that abandoned pages can be copied from the one, without the zero ones, into the other.
    int buffers = seal.isPresent() ? 2 : 0;
    scratch = new FrameView[buffers];
    for (int i = 0; i < buffers; i++) {
      scratch[i] = FrameView.allocate(outlet.payloadBytesMax());
    }
  }

  int bodyBytesMax() {
    return outlet.payloadBytesMax() - Frame.HEADER_BYTES - (seal.isPresent() ? FrameSeal.TAG_BYTES : 0);
  }

  /** Makes room for a frame with a body of that many bytes, waiting if need be. */
  void begin(int bodyBytes) {
    this.bodyBytes = bodyBytes;
    if (seal.isPresent()) {
      view = scratch[0];
      frameAt = 0;
    } else {
      claim(Frame.HEADER_BYTES + bodyBytes);
    }
  }

  private void claim(int length) {
    outlet.claim(length, claim);
    MutableDirectBuffer buffer = claim.buffer();
    view = views.of(buffer.byteBuffer());
    frameAt = buffer.wrapAdjustment() + claim.offset();
  }

  FrameView view() {
    return view;
  }

  /** Where the body starts in {@link #view()}. */
  int body() {
    return frameAt + Frame.HEADER_BYTES;
  }

  /** Writes an entry of the table of runs. Returns where the next one belongs. */
  int putRun(int at, long address, long pages) {
    ByteBuffer bytes = view.bytes();
    bytes.putLong(at, address);
    bytes.putInt(at + 8, (int) pages);
    bytes.putInt(at + 12, 0);
    return at + Frame.RUN_BYTES;
  }

  void copyIn(MemorySegment from, long offset, int to, int length) {
    MemorySegment.copy(from, offset, view.memory(to, length), 0, length);
  }

  /** Completes the frame and hands it to Aeron. */
  void commit(byte type, int zeroRuns, int space, int first, int second) {
    int length = Frame.HEADER_BYTES + bodyBytes + (seal.isPresent() ? FrameSeal.TAG_BYTES : 0);
    ByteBuffer bytes = view.bytes();
    bytes.put(frameAt + Frame.VERSION_AT, Frame.VERSION);
    bytes.put(frameAt + Frame.TYPE, (byte) (seal.isPresent() ? type | Frame.SEALED : type));
    bytes.putShort(frameAt + Frame.ZERO_RUNS, (short) zeroRuns);
    bytes.putLong(frameAt + Frame.SEQUENCE, sequence);
    bytes.putInt(frameAt + Frame.LENGTH, length);
    bytes.putInt(frameAt + Frame.SPACE, space);
    bytes.putInt(frameAt + Frame.FIRST, first);
    bytes.putInt(frameAt + Frame.SECOND, second);
    if (seal.isPresent()) {
      sealInto(length);
    }
    int sum = view.crc32c(crc, frameAt + Frame.VERSION_AT, length - Frame.VERSION_AT);
    view.bytes().putInt(frameAt + Frame.CRC, sum);
    claim.commit();
    sequence++;
    bytesSent += length + AERON_HEADER_BYTES;
  }

  private void sealInto(int length) {
    FrameView plain = view;
    claim(length);
    boolean sealed = false;
    try {
      seal.orElseThrow()
          .seal(
              sequence,
              plain.bytes(),
              0,
              plain.bytes(),
              Frame.HEADER_BYTES,
              bodyBytes,
              view.bytes(),
              frameAt + Frame.HEADER_BYTES);
      MemorySegment.copy(plain.memory(0, Frame.HEADER_BYTES), 0, view.memory(frameAt, Frame.HEADER_BYTES), 0, Frame.HEADER_BYTES);
      sealed = true;
    } finally {
      if (!sealed) {
        claim.abort();
      }
    }
  }

  /** Gives the room back. What was written there stays readable until the next call of this, or a whole term of frames later. */
  void abandon() {
    if (seal.isEmpty()) {
      claim.abort();
    } else {
      FrameView abandoned = scratch[0];
      scratch[0] = scratch[1];
      scratch[1] = abandoned;
    }
  }

  long bytesSent() {
    return bytesSent;
  }
}
