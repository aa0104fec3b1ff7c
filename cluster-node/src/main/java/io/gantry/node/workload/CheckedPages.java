package io.gantry.node.workload;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;

/**
 * Pages whose content follows from their number and their version. The version that each page must have is kept on the heap, so that a
 * page that came back in an older state is noticed as well as a damaged one. One thread at a time.
 */
final class CheckedPages {
  static final int PAGE_BYTES = 4096;
  private static final int LONGS = PAGE_BYTES / Long.BYTES;

  private final MemorySegment memory;
  private final long firstNumber;
  private final int[] versions;
  private final String name;

  /**
   * @param memory whole pages
   * @param firstNumber number of the first page, so that no two pages of the program are equal
   * @param name for sentences
   */
  CheckedPages(MemorySegment memory, long firstNumber, String name) {
    this.memory = memory;
    this.firstNumber = firstNumber;
    this.name = name;
    versions = new int[Math.toIntExact(memory.byteSize() / PAGE_BYTES)];
  }

  int count() {
    return versions.length;
  }

  /** Writes every page for the first time. */
  void fill() {
    for (int page = 0; page < versions.length; page++) {
      rewrite(page);
    }
  }

  /** Gives a page its next version. */
  void rewrite(int page) {
    int version = ++versions[page];
    long offset = (long) page * PAGE_BYTES;
    long value = seed(page, version);
    for (int i = 0; i < LONGS; i++) {
      memory.set(ValueLayout.JAVA_LONG, offset + (long) i * Long.BYTES, value);
      value = value * 0x5851F42D4C957F2DL + 0x14057B7EF767814FL;
    }
  }

  /** Compares every byte of a page with what it must be. */
  boolean holds(int page) {
    long offset = (long) page * PAGE_BYTES;
    long value = seed(page, versions[page]);
    long difference = 0;
    for (int i = 0; i < LONGS; i++) {
      difference |= memory.get(ValueLayout.JAVA_LONG, offset + (long) i * Long.BYTES) ^ value;
      value = value * 0x5851F42D4C957F2DL + 0x14057B7EF767814FL;
    }
    return difference == 0;
  }

  /** A page that does not hold, in words. */
  String describe(int page) {
    long found = memory.get(ValueLayout.JAVA_LONG, (long) page * PAGE_BYTES);
    for (int version = Math.max(0, versions[page] - 1000); version < versions[page]; version++) {
      if (found == seed(page, version)) {
        return "page " + page + " of " + name + " has version " + version + " and should have " + versions[page];
      }
    }
    return "page " + page + " of " + name + " is damaged: it begins with " + Long.toHexString(found);
  }

  /** Rewrites some random pages and checks a run of others. */
  void step(SplittableRandom random, int rewrites, int cursor, int checked, Checks checks) {
    for (int i = 0; i < rewrites; i++) {
      int page = random.nextInt(versions.length);
      verify(page, checks);
      rewrite(page);
    }
    for (int i = 0; i < checked; i++) {
      verify((cursor + i) % versions.length, checks);
    }
  }

  /** Checks every page. */
  void verifyAll(Checks checks) {
    for (int page = 0; page < versions.length; page++) {
      verify(page, checks);
    }
  }

  private void verify(int page, Checks checks) {
    boolean holds = holds(page);
    checks.check(holds, () -> describe(page));
  }

  private long seed(int page, int version) {
    long mixed = (firstNumber + page) * 0x9E3779B97F4A7C15L + version * 0xBF58476D1CE4E5B9L;
    return mixed ^ (mixed >>> 29) | 1;
  }
}
