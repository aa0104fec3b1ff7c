package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.PagemapScan;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Walks scans of any length through one buffer that all processes of a capture share. One thread. */
final class RegionScan implements AutoCloseable {
  private static final int REGIONS = 16 * 1024;

  private final Arena arena = Arena.ofShared();
  private final MemorySegment regions = arena.allocate((long) REGIONS * PagemapScan.REGION_BYTES, 8);

  /** One region that a scan found. */
  @FunctionalInterface
  interface Regions {
    void region(long start, long end, long categories);
  }

  /** What to ask for; see {@link PagemapScan#scan}. */
  record Query(long flags, long inverted, long all, long any, long report) {}

  /** Reports every region; false when the address space is gone. */
  boolean run(PagemapScan scan, long start, long end, Query query, Regions found) {
    long at = start;
    while (at < end) {
      int count = scan.scan(at, end, query.flags, query.inverted, query.all, query.any, query.report, regions);
      if (count < 0) {
        if (count == -Errno.ESRCH) {
          return false;
        }
        throw new KernelException(
            "ioctl(PAGEMAP_SCAN, " + Long.toHexString(at) + "-" + Long.toHexString(end) + ")", -count);
      }
      for (int i = 0; i < count; i++) {
        long base = (long) i * PagemapScan.REGION_BYTES;
        found.region(
            regions.get(ValueLayout.JAVA_LONG, base),
            regions.get(ValueLayout.JAVA_LONG, base + 8),
            regions.get(ValueLayout.JAVA_LONG, base + 16));
      }
      at = scan.walkEnd();
    }
    return scan.isAlive();
  }

  @Override
  public void close() {
    arena.close();
  }
}
