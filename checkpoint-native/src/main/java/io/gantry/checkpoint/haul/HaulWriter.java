package io.gantry.checkpoint.haul;

import com.dynatrace.hash4j.hashing.HashStream128;
import com.google.protobuf.ByteString;
import io.gantry.checkpoint.PageSink;
import io.gantry.checkpoint.image.StreamMessage;
import io.gantry.checkpoint.image.haul_begin;
import io.gantry.checkpoint.image.haul_content;
import io.gantry.checkpoint.image.haul_entry;
import io.gantry.checkpoint.image.haul_op;
import java.util.Optional;

/** Gathers operations on one tree into messages of a size that is worth a message. One thread. */
final class HaulWriter {
  private static final int MESSAGE_BYTES = 512 << 10;
  /** What an operation takes besides its data, about. */
  private static final int OP_BYTES = 64;

  private final int volume;
  private final TreeIndex index;
  private final HashStream128 digest;
  private Optional<PageSink> sink = Optional.empty();
  private haul_entry.Builder entry = haul_entry.newBuilder();
  private int bytes;
  private volatile long dataBytes;

  /** @param digest takes every message */
  HaulWriter(int volume, TreeIndex index, HashStream128 digest) {
    this.volume = volume;
    this.index = index;
    this.digest = digest;
  }

  /** Where messages go from here on. */
  void to(PageSink next) {
    sink = Optional.of(next);
  }

  /** Number of the entry in which the next operation will travel. */
  long sequence() {
    return index.sequence + 1;
  }

  /** Goes with the first operations. */
  void begin(haul_begin begin) {
    entry.setBegin(begin);
  }

  void op(haul_op.Builder op, int payloadBytes) {
    entry.addOps(op);
    bytes += OP_BYTES + payloadBytes;
    if (bytes >= MESSAGE_BYTES) {
      flush();
    }
  }

  /** A piece of a file. */
  void data(long id, long size, long offset, byte[] from, int at, int length) {
    dataBytes += length;
    var content = haul_content.newBuilder().setSize(size).setOffset(offset).setData(ByteString.copyFrom(from, at, length));
    op(haul_op.newBuilder().setId(id).setContent(content), length);
  }

  /** Everything of a pass has been said. */
  void endPass() {
    entry.setPassEnd(true);
    flush();
  }

  private void flush() {
    long number = sequence();
    byte[] message = entry.setVolume(volume).setSequence(number).build().toByteArray();
    entry = haul_entry.newBuilder();
    bytes = 0;
    sink.orElseThrow().message(StreamMessage.HAUL, message);
    digest.putInt(message.length).putBytes(message);
    index.sequence = number;
  }

  /** Content that was sent so far. */
  long dataBytes() {
    return dataBytes;
  }
}
