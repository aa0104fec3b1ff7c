package io.gantry.checkpoint.image;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import io.gantry.checkpoint.CheckpointException;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.function.Function;
import java.util.function.ToLongFunction;

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
  SECCOMP("seccomp", 0x6441_3049),
  PAGEMAP("pagemap", 0x5608_4025),
  FILES("files", 0x5630_3138),
  FDINFO("fdinfo", 0x5621_3732),
  PIPES_DATA("pipes-data", 0x5645_3709),
  FIFO_DATA("fifo-data", 0x5933_3054),
  MEMFD("memfd", 0x4845_3499),
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

  /** Writes a file whose entries have bytes behind them. */
  <T> void writeWithContent(
      Path file, List<T> entries, Function<T, MessageLite> message, Function<T, List<ByteString>> content) throws IOException {
    try (var out = Files.newOutputStream(file)) {
      out.write(header());
      for (T entry : entries) {
        writeEntry(out, message.apply(entry));
        for (ByteString bytes : content.apply(entry)) {
          bytes.writeTo(out);
        }
      }
    }
  }

  /** How a message is read from its bytes. */
  interface Parser<T> {
    T parse(byte[] bytes) throws InvalidProtocolBufferException;
  }

  /** Reads a whole file; what is wrong with it comes out as a sentence. */
  <T> List<T> read(Path file, Parser<T> parser) {
    var entries = new ArrayList<T>();
    readWithContent(file, parser, _ -> 0, (entry, _) -> entries.add(entry));
    return entries;
  }

  /**
   * Reads a file whose entries have bytes behind them.
   *
   * @param content how many bytes an entry has behind it
   */
  <T> void readWithContent(Path file, Parser<T> parser, ToLongFunction<T> content, BiConsumer<T, byte[]> sink) {
    try {
      var in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
      byte[] expected = header();
      if (!Arrays.equals(expected, next(in, Math.min(expected.length, in.remaining()), file))) {
        throw new CheckpointException(file + " does not begin like a file of its kind; it is damaged or something else");
      }
      while (in.hasRemaining()) {
        var entry = parser.parse(next(in, in.remaining() < NUMBER_BYTES ? -1 : in.getInt(), file));
        sink.accept(entry, next(in, content.applyAsLong(entry), file));
      }
    } catch (InvalidProtocolBufferException e) {
      throw new CheckpointException(file + " holds an entry that cannot be understood: " + e.getMessage(), e);
    } catch (NoSuchFileException e) {
      throw new CheckpointException(file + " is missing; the directory was copied incompletely, copy it again", e);
    } catch (IOException e) {
      throw new CheckpointException("reading " + file + " failed: " + e, e);
    }
  }

  private static byte[] next(ByteBuffer in, long length, Path file) {
    if (length < 0 || length > in.remaining()) {
      throw new CheckpointException(file + " ends in the middle of an entry; the directory was copied incompletely or is damaged");
    }
    byte[] bytes = new byte[(int) length];
    in.get(bytes);
    return bytes;
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
