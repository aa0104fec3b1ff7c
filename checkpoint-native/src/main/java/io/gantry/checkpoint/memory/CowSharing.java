package io.gantry.checkpoint.memory;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Finds the pages that a new child still shares copy-on-write with its parent and that the destination's stub of the child therefore
 * inherits from that of the parent. A page is inherited when both have the same page frame at the same address, the parent's was
 * sent, and the parent has not written it since: then its content is what was sent. The parent is asked for writes after the
 * frames were read, so that no write can slip in between. One thread.
 */
final class CowSharing {
  /** Bits 0 to 54 of a page map entry are the page frame number, bit 63 says that it is present. */
  private static final long FRAME = (1L << 55) - 1;

  private static final long PRESENT = 1L << 63;

  private static final int ENTRIES = 8 * 1024;

  private CowSharing() {}

  /**
   * Those pages of {@code content} (the child's) that need not be sent. The child's pages are protected already, or both are frozen.
   */
  static PageSet inherited(SpaceTracker parent, SpaceTracker child, PageSet content, boolean frozen) {
    var sameFrame = new PageSet();
    try (var arena = Arena.ofConfined()) {
      var parents = arena.allocate(ENTRIES * 8L, 8);
      var children = arena.allocate(ENTRIES * 8L, 8);
      content.forEach(
          (start, end) ->
              parent.sent().intersect(start, end, (from, to) -> compare(parent, child, from, to, parents, children, sameFrame)));
    }
    return frozen || sameFrame.isEmpty() ? sameFrame : parent.unchanged(sameFrame);
  }

  private static void compare(
      SpaceTracker parent, SpaceTracker child, long start, long end, MemorySegment parents, MemorySegment children, PageSet same) {
    for (long at = start; at < end; at += ENTRIES * Mmap.PAGE) {
      int count = (int) Math.min(ENTRIES, (end - at) / Mmap.PAGE);
      long bytes = count * 8L;
      if (parent.entriesOf(at, parents.asSlice(0, bytes)) != bytes || child.entriesOf(at, children.asSlice(0, bytes)) != bytes) {
        return;
      }
      for (int i = 0; i < count; i++) {
        long entry = parents.getAtIndex(ValueLayout.JAVA_LONG, i);
        // Without CAP_SYS_ADMIN the kernel gives 0 for every frame.
        boolean known = (entry & PRESENT) != 0 && (entry & FRAME) != 0;
        if (known && (entry & FRAME) == (children.getAtIndex(ValueLayout.JAVA_LONG, i) & FRAME)) {
          same.add(at + i * Mmap.PAGE, at + (i + 1) * Mmap.PAGE);
        }
      }
    }
  }
}
