package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.linux.PagemapScan;
import io.gantry.checkpoint.linux.ProcMem;
import io.gantry.checkpoint.linux.ProcessVm;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Reads pages of one process, whatever their protection. A page that vanished while the process ran reads as zero and is
 * remembered, so that it is looked at again.
 *
 * <p>{@code process_vm_readv} is the fastest way, but it pins pages, and pinning a page that is shared copy-on-write makes the
 * kernel give the process a copy of its own (mm/gup.c, {@code gup_must_unshare}): reading a family of processes that way would undo
 * their sharing. {@code /proc/PID/mem} does not pin; it is slower by half, and is used for runs in which a page is not exclusive.
 *
 * <p>One thread.
 */
final class ProcessPages implements PageReader, AutoCloseable {
  /** Bit 56 of a page map entry: mapped by one process only ({@code Documentation/admin-guide/mm/pagemap.rst}). */
  private static final long EXCLUSIVE = 1L << 56;

  private static final int ENTRIES = 512;

  private final int pid;
  private final PagemapScan pagemap;
  private final ProcMem memory;
  private final MemorySegment entries = Arena.ofAuto().allocate(ENTRIES * 8L, 8);
  private boolean looking = true;
  private boolean sawShared;
  private final PageSet vanished = new PageSet();
  private final HugeWitnesses witnesses = new HugeWitnesses();

  /** @param pagemap stays the caller's */
  ProcessPages(int pid, PagemapScan pagemap) {
    this.pid = pid;
    this.pagemap = pagemap;
    this.memory = ProcMem.open(pid);
  }

  /**
   * From now on pages are pinned without a look at each, which halves the cost of scattered ones, provided that none was found to be
   * shared so far. For a process that stands still and has no new child.
   */
  void trustExclusive() {
    looking = sawShared;
  }

  HugeWitnesses witnesses() {
    return witnesses;
  }

  /** Pages that could not be read since the last time they were cleared. */
  PageSet vanished() {
    return vanished;
  }

  @Override
  public void read(long[] addresses, int[] pageCounts, int runCount, MemorySegment destination) {
    int run = 0;
    long done = 0;
    while (run < runCount) {
      int exclusive = exclusiveRuns(addresses, pageCounts, run, runCount);
      long left =
          exclusive == 0
              ? 0
              : Math.max(0, ProcessVm.read(pid, addresses, pageCounts, (int) Mmap.PAGE, run, exclusive, destination.asSlice(done)));
      int end = run + exclusive;
      while (run < end && left >= pageCounts[run] * Mmap.PAGE) {
        left -= pageCounts[run] * Mmap.PAGE;
        done += pageCounts[run] * Mmap.PAGE;
        run++;
      }
      if (run < end || exclusive == 0) {
        // This run has no read permission, or is gone, or is not to be pinned.
        long bytes = pageCounts[run] * Mmap.PAGE;
        readAnyway(addresses[run], destination.asSlice(done, bytes));
        done += bytes;
        run++;
      }
    }
    witnesses.read(addresses, pageCounts, runCount, destination);
  }

  /** How many runs, from the given one on, can be read by pinning. */
  private int exclusiveRuns(long[] addresses, int[] pageCounts, int from, int runCount) {
    if (!looking) {
      return runCount - from;
    }
    int run = from;
    while (run < runCount && isExclusive(addresses[run], pageCounts[run])) {
      run++;
    }
    sawShared |= run < runCount;
    return run - from;
  }

  private boolean isExclusive(long address, int pages) {
    for (int at = 0; at < pages; at += ENTRIES) {
      int count = Math.min(ENTRIES, pages - at);
      if (pagemap.entries(address + at * Mmap.PAGE, entries.asSlice(0, count * 8L)) != count * 8L) {
        return false;
      }
      for (int i = 0; i < count; i++) {
        if ((entries.getAtIndex(ValueLayout.JAVA_LONG, i) & EXCLUSIVE) == 0) {
          return false;
        }
      }
    }
    return true;
  }

  private void readAnyway(long address, MemorySegment destination) {
    long bytes = destination.byteSize();
    long read = memory.tryRead(address, destination);
    if (read == bytes) {
      return;
    }
    for (long at = 0; at < bytes; at += Mmap.PAGE) {
      var page = destination.asSlice(at, Mmap.PAGE);
      if (memory.tryRead(address + at, page) != Mmap.PAGE) {
        page.fill((byte) 0);
        vanished.add(address + at, address + at + Mmap.PAGE);
      }
    }
  }

  @Override
  public void close() {
    memory.close();
  }
}
