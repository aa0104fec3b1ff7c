package io.gantry.node.bench;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Counts the pages that a move cannot do without: pages of a process's private memory that are its own (anonymous) and not all zero.
 * Counted from outside through {@code /proc/PID/pagemap} and {@code /proc/PID/mem}, independent of the engine.
 */
final class NonZeroMemory {
  private static final int PAGE_BYTES = 4096;

  /** Pages looked at in one read. */
  private static final int BATCH_PAGES = 512;

  /** Bits of a pagemap entry: Documentation/admin-guide/mm/pagemap.rst. */
  private static final long PRESENT = 1L << 63;

  private static final long FILE_OR_SHARED = 1L << 61;

  private NonZeroMemory() {}

  /**
   * @param pid as this host counts
   * @return bytes
   */
  static long bytes(long pid) throws IOException {
    long pages = 0;
    Path directory = Path.of("/proc/" + pid);
    try (FileChannel pagemap = FileChannel.open(directory.resolve("pagemap"));
        var memoryFile = new RandomAccessFile(directory.resolve("mem").toFile(), "r")) {
      FileChannel memory = memoryFile.getChannel();
      for (String line : Files.readAllLines(directory.resolve("maps"))) {
        String[] range = line.substring(0, line.indexOf(' ')).split("-");
        if (line.contains("[v")) {
          // vdso, vvar and vsyscall belong to the kernel.
          continue;
        }
        pages += nonZero(pagemap, memory, Long.parseUnsignedLong(range[0], 16), Long.parseUnsignedLong(range[1], 16));
      }
    }
    return pages * PAGE_BYTES;
  }

  private static long nonZero(FileChannel pagemap, FileChannel memory, long start, long end) throws IOException {
    var entries = ByteBuffer.allocateDirect(BATCH_PAGES * Long.BYTES).order(ByteOrder.nativeOrder());
    var page = ByteBuffer.allocateDirect(PAGE_BYTES).order(ByteOrder.nativeOrder());
    long count = 0;
    for (long address = start; address < end; address += (long) BATCH_PAGES * PAGE_BYTES) {
      int batch = (int) Math.min(BATCH_PAGES, (end - address) / PAGE_BYTES);
      entries.clear().limit(batch * Long.BYTES);
      if (pagemap.read(entries, address / PAGE_BYTES * Long.BYTES) < batch * Long.BYTES) {
        return count;
      }
      LongBuffer bits = entries.flip().order(ByteOrder.nativeOrder()).asLongBuffer();
      for (int i = 0; i < batch; i++) {
        long entry = bits.get(i);
        if ((entry & PRESENT) != 0 && (entry & FILE_OR_SHARED) == 0) {
          page.clear();
          count += memory.read(page, address + (long) i * PAGE_BYTES) == PAGE_BYTES && !isZero(page.flip()) ? 1 : 0;
        }
      }
    }
    return count;
  }

  private static boolean isZero(ByteBuffer page) {
    for (int offset = 0; offset < PAGE_BYTES; offset += Long.BYTES) {
      if (page.getLong(offset) != 0) {
        return false;
      }
    }
    return true;
  }
}
