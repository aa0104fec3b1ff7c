package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.PageReader;
import java.lang.foreign.Arena;
import java.util.List;

/**
 * Reads all private memory of a process into a digest: anonymous mappings where they have content, file mappings whole, since there it
 * is no difference whether a page is a private copy. Pages of zeros do not count. One thread.
 */
final class WholeMemory {
  private static final int PAGES = 256;

  private final long[] address = new long[1];
  private final int[] count = new int[1];

  void digest(PageDigest digest, int space, List<Vma> vmas, PageSet content, PageReader reader) {
    try (var arena = Arena.ofConfined()) {
      var buffer = arena.allocate(PAGES * Mmap.PAGE, 4096);
      for (var vma : vmas) {
        if (!vma.hasPrivatePages()) {
          continue;
        }
        PageSet.Runs read =
            (start, end) -> {
              for (long at = start; at < end; at += PAGES * Mmap.PAGE) {
                address[0] = at;
                count[0] = (int) Math.min(PAGES, (end - at) / Mmap.PAGE);
                var part = buffer.asSlice(0, count[0] * Mmap.PAGE);
                reader.read(address, count, 1, part);
                digest.addContent(space, at, part);
              }
            };
        if (vma.backed()) {
          read.run(vma.start(), vma.end());
        } else {
          content.intersect(vma.start(), vma.end(), read);
        }
      }
    }
  }
}
