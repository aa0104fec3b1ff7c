package io.gantry.checkpoint.image;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import io.gantry.checkpoint.CheckpointException;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * CRIU's container of messages: two magic numbers (the inventory has only its own), then each message behind its length, all
 * little-endian 32-bit numbers ({@code criu/include/magic.h}, {@code criu/protobuf.c}).
 */
enum ImageFile {
  INVENTORY("inventory", 0x5831_3116),
  PSTREE("pstree", 0x5027_3030),
  CORE("core", 0x5505_3847),
  IDS("ids", 0x5443_2030),
  FS("fs", 0x5140_3912),
  MM("mm", 0x5749_2820),
  UTSNS("utsns", 0x5447_3203),
  PAGEMAP("pagemap", 0x5608_4025),
  FILES("files", 0x5630_3138),
  FDINFO("fdinfo", 0x5621_3732),
  /** Ours: {@link stream_event}s. */
  STREAM("stream", 0x5047_4e01),
  /** Ours: one {@link image_manifest}. */
  MANIFEST("manifest", 0x5047_4e02);

  private static final int COMMON_MAGIC = 0x5456_4319;
  private static final int NUMBER_BYTES = 4;

  private final String stem;
  private final int magic;

  ImageFile(String stem, int magic) {
    this.stem = stem;
    this.magic = magic;
  }

  /** For a kind of which there is one. */
  String fileName() {
    return stem + ".img";
  }

  /** For a kind of which there are several. */
  String fileName(long number) {
    return stem + "-" + number + ".img";
  }

  byte[] header() {
    var header = ByteBuffer.allocate(2 * NUMBER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    if (this != INVENTORY) {
      header.putInt(COMMON_MAGIC);
    }
    header.putInt(magic);
    byte[] bytes = new byte[header.position()];
    header.get(0, bytes);
    return bytes;
  }

  static void writeEntry(OutputStream out, MessageLite message) throws IOException {
    out.write(ByteBuffer.allocate(NUMBER_BYTES).order(ByteOrder.LITTLE_ENDIAN).putInt(message.getSerializedSize()).array());
    message.writeTo(out);
  }

  /** Writes a whole file. */
  void write(Path file, List<? extends MessageLite> entries) throws IOException {
    try (var out = Files.newOutputStream(file)) {
      out.write(header());
      for (MessageLite entry : entries) {
        writeEntry(out, entry);
      }
    }
  }

  /** How a message is read from its bytes. */
  interface Parser<T> {
    T parse(byte[] bytes) throws InvalidProtocolBufferException;
  }

  /** Reads a whole file; what is wrong with it comes out as a sentence. */
  <T> List<T> read(Path file, Parser<T> parser) {
    try {
      var in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
      byte[] expected = header();
      byte[] found = new byte[Math.min(expected.length, in.remaining())];
      in.get(found);
      if (!java.util.Arrays.equals(expected, found)) {
        throw new CheckpointException(file + " does not begin like a file of its kind; it is damaged or something else");
      }
      var entries = new ArrayList<T>();
      while (in.hasRemaining()) {
        int length = in.remaining() < NUMBER_BYTES ? -1 : in.getInt();
        if (length < 0 || length > in.remaining()) {
          throw new CheckpointException(file + " ends in the middle of an entry; the directory was copied incompletely or is damaged");
        }
        byte[] bytes = new byte[length];
        in.get(bytes);
        entries.add(parser.parse(bytes));
      }
      return entries;
    } catch (InvalidProtocolBufferException e) {
      throw new CheckpointException(file + " holds an entry that cannot be understood: " + e.getMessage(), e);
    } catch (IOException e) {
      throw new CheckpointException("reading " + file + " failed: " + e, e);
    }
  }

  /** Reads the one entry of a file. */
  <T> T readOne(Path file, Parser<T> parser) {
    var entries = read(file, parser);
    if (entries.size() != 1) {
      throw new CheckpointException(file + " should hold one entry and holds " + entries.size());
    }
    return entries.getFirst();
  }
}
