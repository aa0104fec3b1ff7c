package io.gantry.checkpoint.procfs;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HexFormat;

/**
 * The GNU build id of a 64-bit little-endian ELF file: note of type {@code NT_GNU_BUILD_ID} and owner {@code "GNU"} in a
 * {@code PT_NOTE} segment ({@code man 5 elf}). Reads a few hundred bytes; any thread.
 */
public final class ElfBuildId {
  private static final int HEADER_BYTES = 64;
  private static final int PROGRAM_HEADER_BYTES = 56;
  private static final int PT_NOTE = 4;
  private static final int NT_GNU_BUILD_ID = 3;
  private static final int OWNER_GNU = 'G' | 'N' << 8 | 'U' << 16;
  /** More are legal, but no linker writes them. */
  private static final int PROGRAM_HEADERS_MAX = 256;

  private static final int NOTE_BYTES_MAX = 1 << 16;

  private ElfBuildId() {}

  /** Lower-case hexadecimal; empty when the file is no such ELF file, has no build id, or cannot be read. */
  public static String read(Path file) {
    try (var channel = FileChannel.open(file, StandardOpenOption.READ)) {
      var header = read(channel, 0, HEADER_BYTES);
      boolean elf64LittleEndian =
          header.remaining() == HEADER_BYTES && header.getInt(0) == 0x464C457F && header.get(4) == 2 && header.get(5) == 1;
      if (!elf64LittleEndian) {
        return "";
      }
      int count = Short.toUnsignedInt(header.getShort(56));
      if (count > PROGRAM_HEADERS_MAX || Short.toUnsignedInt(header.getShort(54)) != PROGRAM_HEADER_BYTES) {
        return "";
      }
      var programs = read(channel, header.getLong(32), count * PROGRAM_HEADER_BYTES);
      for (int at = 0; at + PROGRAM_HEADER_BYTES <= programs.remaining(); at += PROGRAM_HEADER_BYTES) {
        if (programs.getInt(at) == PT_NOTE) {
          long size = Math.min(NOTE_BYTES_MAX, programs.getLong(at + 32));
          var found = find(read(channel, programs.getLong(at + 8), (int) Math.max(0, size)));
          if (!found.isEmpty()) {
            return found;
          }
        }
      }
      return "";
    } catch (IOException | IllegalArgumentException unreadable) {
      return "";
    }
  }

  /** Notes: name size, description size, type, name and description, both padded to four bytes. */
  private static String find(ByteBuffer notes) {
    for (long at = 0; at + 12 <= notes.remaining(); ) {
      int from = (int) at;
      long name = Integer.toUnsignedLong(notes.getInt(from));
      long description = Integer.toUnsignedLong(notes.getInt(from + 4));
      long content = at + 12 + ((name + 3) & ~3L);
      long next = content + ((description + 3) & ~3L);
      if (next > notes.remaining()) {
        return "";
      }
      if (notes.getInt(from + 8) == NT_GNU_BUILD_ID && name == 4 && notes.getInt(from + 12) == OWNER_GNU) {
        var id = new byte[(int) description];
        notes.get((int) content, id);
        return HexFormat.of().formatHex(id);
      }
      at = next;
    }
    return "";
  }

  private static ByteBuffer read(FileChannel channel, long position, int size) throws IOException {
    var buffer = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    while (buffer.hasRemaining() && channel.read(buffer, position + buffer.position()) > 0) {
      // A regular file gives all at once; anything else is read until it ends.
    }
    return buffer.flip();
  }
}
