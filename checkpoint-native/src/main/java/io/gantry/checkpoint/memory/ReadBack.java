package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.PageReader;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Reads pages, as many scattered ones at a time as one call takes, into a digest. One thread. */
final class ReadBack {
  private static final int PAGES = 256;

  private final PageDigest digest;
  private final int space;
  private final PageReader reader;
  private final long[] addresses = new long[PAGES];
  private final int[] counts = new int[PAGES];
  private int runs;
  private int pages;

  ReadBack(PageDigest digest, int space, PageReader reader) {
    this.digest = digest;
    this.space = space;
    this.reader = reader;
  }

  void add(PageSet set) {
    try (var arena = Arena.ofConfined()) {
      var buffer = arena.allocate(PAGES * Mmap.PAGE, Mmap.PAGE);
      set.forEach(
          (start, end) -> {
            for (long at = start; at < end; ) {
              int now = (int) Math.min(PAGES - pages, (end - at) / Mmap.PAGE);
              addresses[runs] = at;
              counts[runs++] = now;
              pages += now;
              at += now * Mmap.PAGE;
              if (pages == PAGES) {
                flush(buffer);
              }
            }
          });
      flush(buffer);
    }
  }

  private void flush(MemorySegment buffer) {
    if (runs > 0) {
      var part = buffer.asSlice(0, pages * Mmap.PAGE);
      reader.read(addresses, counts, runs, part);
      digest.add(space, addresses, counts, 0, runs, part);
      runs = 0;
      pages = 0;
    }
  }
}
