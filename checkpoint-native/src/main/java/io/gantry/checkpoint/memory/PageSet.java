package io.gantry.checkpoint.memory;

import java.util.TreeMap;

/**
 * A set of pages of one space, cheap for memory that lies in clusters within a huge address range: one bit for each page of every
 * 2 MiB in which there is any. Addresses are in bytes, multiples of 4096. One thread.
 */
final class PageSet {
  private static final int WORDS = 8;
  private static final int CHUNK_PAGES = WORDS * 64;
  private static final long CHUNK_BYTES = CHUNK_PAGES * Mmap.PAGE;

  /** A run of pages: {@code end} is the first byte behind it. */
  @FunctionalInterface
  interface Runs {
    void run(long start, long end);
  }

  private final TreeMap<Long, long[]> chunks = new TreeMap<>();
  // Pages come in order of address, so the last chunk is nearly always the one asked for next.
  private long cachedKey = -1;
  private long[] cached;

  private long[] chunk(long key) {
    if (key == cachedKey) {
      return cached;
    }
    var found = chunks.get(key);
    if (found != null) {
      cachedKey = key;
      cached = found;
    }
    return found;
  }

  boolean contains(long address) {
    var words = chunk(address / CHUNK_BYTES);
    int bit = bit(address);
    return words != null && (words[bit >> 6] >>> bit & 1) != 0;
  }

  void add(long start, long end) {
    for (long key = start / CHUNK_BYTES; key * CHUNK_BYTES < end; key++) {
      var words = chunk(key);
      if (words == null) {
        words = new long[WORDS];
        chunks.put(key, words);
        cachedKey = key;
        cached = words;
      }
      int from = start <= key * CHUNK_BYTES ? 0 : bit(start);
      int to = end >= (key + 1) * CHUNK_BYTES ? CHUNK_PAGES : bit(end);
      for (int word = from >> 6; word << 6 < to; word++) {
        words[word] |= mask(word, from, to);
      }
    }
  }

  /** Removes a range; tells about the pages that were there, joined to runs. */
  void remove(long start, long end, Runs removed) {
    intersect(start, end, removed);
    for (var key = chunks.ceilingKey(start / CHUNK_BYTES); key != null && key * CHUNK_BYTES < end; key = chunks.higherKey(key)) {
      var words = chunks.get(key);
      int from = start <= key * CHUNK_BYTES ? 0 : bit(start);
      int to = end >= (key + 1) * CHUNK_BYTES ? CHUNK_PAGES : bit(end);
      long left = 0;
      for (int word = 0; word < WORDS; word++) {
        words[word] &= ~mask(word, from, to);
        left |= words[word];
      }
      if (left == 0) {
        chunks.remove(key);
        cachedKey = -1;
      }
    }
  }

  void remove(long start, long end) {
    remove(start, end, (from, to) -> {});
  }

  /** The pages of the set within a range, as runs by address. */
  void intersect(long start, long end, Runs found) {
    visit(start, end, found, true);
  }

  /** The pages within a range that are not in the set, as runs by address. */
  void missing(long start, long end, Runs found) {
    long[] at = {start};
    intersect(
        start,
        end,
        (from, to) -> {
          if (from > at[0]) {
            found.run(at[0], from);
          }
          at[0] = to;
        });
    if (at[0] < end) {
      found.run(at[0], end);
    }
  }

  /** All pages as runs by address. */
  void forEach(Runs found) {
    visit(0, Long.MAX_VALUE / 2, found, true);
  }

  private void visit(long start, long end, Runs found, boolean wanted) {
    long runStart = -1;
    long runEnd = -1;
    for (var entry : chunks.tailMap(start / CHUNK_BYTES, true).entrySet()) {
      long base = entry.getKey() * CHUNK_BYTES;
      if (base >= end) {
        break;
      }
      int bit = start <= base ? 0 : bit(start);
      int to = end >= base + CHUNK_BYTES ? CHUNK_PAGES : bit(end);
      while (bit < to) {
        int first = next(entry.getValue(), bit, to, wanted);
        if (first == to) {
          break;
        }
        int last = next(entry.getValue(), first, to, !wanted);
        long from = base + first * Mmap.PAGE;
        if (from != runEnd) {
          if (runEnd > runStart) {
            found.run(runStart, runEnd);
          }
          runStart = from;
        }
        runEnd = base + last * Mmap.PAGE;
        bit = last;
      }
    }
    if (runEnd > runStart) {
      found.run(runStart, runEnd);
    }
  }

  private static int next(long[] words, int bit, int to, boolean set) {
    int at = bit;
    while (at < to) {
      long word = (set ? words[at >> 6] : ~words[at >> 6]) >>> at;
      if (word != 0) {
        return Math.min(to, at + Long.numberOfTrailingZeros(word));
      }
      at = (at | 63) + 1;
    }
    return to;
  }

  boolean isEmpty() {
    return chunks.isEmpty();
  }

  long pages() {
    long pages = 0;
    for (var words : chunks.values()) {
      for (long word : words) {
        pages += Long.bitCount(word);
      }
    }
    return pages;
  }

  PageSet copy() {
    var copy = new PageSet();
    chunks.forEach((key, words) -> copy.chunks.put(key, words.clone()));
    return copy;
  }

  void clear() {
    chunks.clear();
    cachedKey = -1;
  }

  private static int bit(long address) {
    return (int) (address / Mmap.PAGE % CHUNK_PAGES);
  }

  private static long mask(int word, int from, int to) {
    int low = Math.max(from, word * 64);
    int high = Math.min(to, word * 64 + 64);
    if (low >= high) {
      return 0;
    }
    return -1L >>> 64 - (high - low) << low;
  }
}
