package io.gantry.node.workload;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SplittableRandom;
import java.util.concurrent.locks.LockSupport;

/**
 * What {@code gantry bench} moves: fills memory with bytes that do not compress, then writes to random pages at a steady rate, and
 * measures its own gaps.
 *
 * <p>Arguments: directory for its files, bytes of memory, pages to write, every so many milliseconds (0 pages: idle), and after how many seconds to
 * end by itself. Also ends when a file {@code stop} appears.
 */
public final class PageWriter {
  private static final int PAGE_BYTES = 4096;
  private static final long REPORT_NS = 20_000_000;

  private PageWriter() {}

  public static void main(String[] arguments) throws Exception {
    Path directory = Path.of(arguments[0]);
    long bytes = Long.parseLong(arguments[1]);
    int pages = Integer.parseInt(arguments[2]);
    long periodNs = Long.parseLong(arguments[3]) * 1_000_000;
    long endNs = System.nanoTime() + Long.parseLong(arguments[4]) * 1_000_000_000;
    try (var arena = Arena.ofShared();
        var status = new StatusFile(directory.resolve("status.json"))) {
      var clock = new GapClock();
      status.write("starting", 0, 0, "", clock.snapshot());
      MemorySegment memory = arena.allocate(bytes, PAGE_BYTES);
      fill(memory);
      var clockThread = new Thread(clock, "clock");
      clockThread.setPriority(Thread.MAX_PRIORITY);
      clockThread.start();
      clock.reset();
      write(memory, pages, periodNs, endNs, directory, status, clock);
      clock.stop();
      clockThread.join();
    }
  }

  private static void fill(MemorySegment memory) {
    long value = 0x9E3779B97F4A7C15L;
    for (long offset = 0; offset < memory.byteSize(); offset += Long.BYTES) {
      value ^= value << 13;
      value ^= value >>> 7;
      value ^= value << 17;
      memory.set(ValueLayout.JAVA_LONG, offset, value);
    }
  }

  private static void write(
      MemorySegment memory, int pages, long periodNs, long endNs, Path directory, StatusFile status, GapClock clock) throws IOException {
    var random = new SplittableRandom(1);
    Path stop = directory.resolve("stop");
    long pageCount = memory.byteSize() / PAGE_BYTES;
    long written = 0;
    long nextNs = System.nanoTime();
    long reportNs = nextNs;
    while (true) {
      for (int i = 0; i < pages; i++) {
        memory.set(ValueLayout.JAVA_LONG, random.nextLong(pageCount) * PAGE_BYTES, written++);
      }
      long now = System.nanoTime();
      if (now >= reportNs) {
        if (Files.exists(stop) || now > endNs) {
          return;
        }
        status.write("running", written, 0, "", clock.snapshot());
        reportNs = now + REPORT_NS;
      }
      // A pause is not made up for: the rate is what counts.
      nextNs = Math.max(nextNs + periodNs, now);
      LockSupport.parkNanos(nextNs - System.nanoTime());
    }
  }
}
