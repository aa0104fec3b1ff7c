package io.gantry.simulation.host;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;

/** How the few numbers that stand for a container's memory travel: in one page, each with whether it is meant. */
final class PageForm {
  private static final int MASK_AT = 8 * (Being.CELLS + 1);

  private PageForm() {}

  /** Writes the cells that differ from {@code before}; all of them when there is none. */
  static void write(MemorySegment page, long[] cells, long[] before) {
    var mask = 0L;
    for (var i = 0; i < cells.length; i++) {
      page.set(ValueLayout.JAVA_LONG_UNALIGNED, 8L * i, cells[i]);
      if (before.length == 0 || before[i] != cells[i]) {
        mask |= 1L << i;
      }
    }
    page.set(ValueLayout.JAVA_LONG_UNALIGNED, MASK_AT, mask);
  }

  /** Takes in what a page carries. */
  static void read(MemorySegment page, long[] cells) {
    var mask = page.get(ValueLayout.JAVA_LONG_UNALIGNED, MASK_AT);
    for (var i = 0; i < cells.length; i++) {
      if ((mask & 1L << i) != 0) {
        cells[i] = page.get(ValueLayout.JAVA_LONG_UNALIGNED, 8L * i);
      }
    }
  }

  /** What both sides compute. */
  static String digest(long[] cells) {
    var hash = 0x9E3779B97F4A7C15L;
    for (var cell : cells) {
      hash = (hash ^ cell) * 0xD6E8FEB86659FD93L;
      hash ^= hash >>> 32;
    }
    return HexFormat.of().toHexDigits(hash);
  }
}
