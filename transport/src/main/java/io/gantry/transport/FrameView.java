package io.gantry.transport;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;

/**
 * Two views of one native buffer: bytes in little-endian order, and memory. Made once per buffer, so that nothing is allocated
 * per frame but a slice. For one thread.
 */
final class FrameView {
  private final ByteBuffer identity;
  private final ByteBuffer bytes;
  private final MemorySegment memory;

  FrameView(ByteBuffer buffer) {
    identity = buffer;
    bytes = buffer.duplicate().clear().order(ByteOrder.LITTLE_ENDIAN);
    memory = MemorySegment.ofBuffer(buffer.duplicate().clear());
  }

  /** A new native buffer. */
  static FrameView allocate(int length) {
    return new FrameView(ByteBuffer.allocateDirect(length));
  }

  /** Whether this is the view of {@code buffer}. */
  boolean shows(ByteBuffer buffer) {
    return identity == buffer;
  }

  ByteBuffer bytes() {
    return bytes;
  }

  MemorySegment memory(int offset, int length) {
    return memory.asSlice(offset, length);
  }

  /** The buffer with position and limit around a range; the same object each time. */
  ByteBuffer range(int offset, int length) {
    return bytes.limit(offset + length).position(offset);
  }

  int crc32c(CRC32C crc, int offset, int length) {
    crc.reset();
    crc.update(range(offset, length));
    bytes.clear();
    return (int) crc.getValue();
  }
}
