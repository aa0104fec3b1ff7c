package io.gantry.checkpoint.memory;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Finds out which page frames a process and its new descendants share, address by address, and which frame the descendants' stubs
 * are best cloned with: the one that most of them have. Mostly that is the process's own; where it has written a page since it forked
 * (or a child has, before it forked itself), it is the frame that the others still share. One thread.
 */
final class FrameCensus {
  /** Bits 0 to 54 of a page map entry are the page frame number, bit 63 says that it is present. */
  private static final long FRAME = (1L << 55) - 1;

  private static final int CHUNK_PAGES = 512;
  private static final long CHUNK_BYTES = CHUNK_PAGES * Mmap.PAGE;

  private final SpaceTracker top;
  private final List<SpaceTracker> members;

  /** Pages of each member that are in the very frame that its stub is cloned with. */
  private final Map<SpaceTracker, PageSet> same = new LinkedHashMap<>();

  /** Pages whose frame for cloning is not the top's, by the member from which they are read. */
  private final Map<SpaceTracker, PageSet> borrowed = new LinkedHashMap<>();

  /** @param comparable those pages of each member whose stub inherits them from the top's when nothing is done */
  FrameCensus(SpaceTracker top, Map<SpaceTracker, PageSet> comparable) {
    this.top = top;
    this.members = List.copyOf(comparable.keySet());
    var all = new PageSet();
    comparable.values().forEach(pages -> pages.forEach(all::add));
    members.forEach(member -> same.put(member, new PageSet()));
    try (var arena = Arena.ofConfined()) {
      var entries = arena.allocate(CHUNK_PAGES * 8L, 8);
      long[][] frames = new long[members.size() + 1][CHUNK_PAGES];
      long[] done = {-1};
      all.forEach(
          (start, end) -> {
            for (long key = Math.max(start / CHUNK_BYTES, done[0] + 1); key * CHUNK_BYTES < end; key++) {
              chunk(key * CHUNK_BYTES, comparable, entries, frames);
              done[0] = key;
            }
          });
    }
  }

  PageSet same(SpaceTracker member) {
    return same.get(member);
  }

  Map<SpaceTracker, PageSet> borrowed() {
    return borrowed;
  }

  private void chunk(long base, Map<SpaceTracker, PageSet> comparable, MemorySegment entries, long[][] frames) {
    read(top, top.sent(), base, entries, frames[members.size()]);
    for (int i = 0; i < members.size(); i++) {
      read(members.get(i), comparable.get(members.get(i)), base, entries, frames[i]);
    }
    long[] sorted = new long[members.size()];
    for (int page = 0; page < CHUNK_PAGES; page++) {
      for (int i = 0; i < sorted.length; i++) {
        sorted[i] = frames[i][page];
      }
      long chosen = choose(sorted, frames[members.size()][page]);
      if (chosen != 0) {
        assign(base + page * Mmap.PAGE, page, chosen, frames);
      }
    }
  }

  /** Frames of those pages of a chunk that are in the set; 0 for the others, and for all of them without CAP_SYS_ADMIN. */
  private static void read(SpaceTracker tracker, PageSet set, long base, MemorySegment entries, long[] frames) {
    Arrays.fill(frames, 0);
    set.intersect(
        base,
        base + CHUNK_BYTES,
        (start, end) -> {
          int count = (int) ((end - start) / Mmap.PAGE);
          var part = entries.asSlice(0, count * 8L);
          if (tracker.entriesOf(start, part) != count * 8L) {
            return;
          }
          int first = (int) ((start - base) / Mmap.PAGE);
          for (int i = 0; i < count; i++) {
            long entry = part.getAtIndex(ValueLayout.JAVA_LONG, i);
            frames[first + i] = entry < 0 ? entry & FRAME : 0;
          }
        });
  }

  /** The frame that most members have: the top's own unless another one is in more of them, and in at least two. */
  private static long choose(long[] frames, long own) {
    Arrays.sort(frames);
    long best = 0;
    int bestCount = 1;
    int ownCount = 0;
    for (int i = 0; i < frames.length; ) {
      int next = i;
      while (next < frames.length && frames[next] == frames[i]) {
        next++;
      }
      if (frames[i] == own) {
        ownCount = next - i;
      } else if (frames[i] != 0 && next - i > bestCount) {
        best = frames[i];
        bestCount = next - i;
      }
      i = next;
    }
    return best != 0 && bestCount > ownCount ? best : own;
  }

  private void assign(long address, int page, long chosen, long[][] frames) {
    boolean lender = frames[members.size()][page] != chosen;
    for (int i = 0; i < members.size(); i++) {
      if (frames[i][page] == chosen) {
        same.get(members.get(i)).add(address, address + Mmap.PAGE);
        if (lender) {
          borrowed.computeIfAbsent(members.get(i), member -> new PageSet()).add(address, address + Mmap.PAGE);
          lender = false;
        }
      }
    }
  }
}
