package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * {@code ioctl(PAGEMAP_SCAN)} on {@code /proc/PID/pagemap} ({@code linux/fs.h}, Linux 6.7 or later). The descriptor belongs to the
 * address space that the process had when it was opened: after exec or exit a scan answers {@code ESRCH} or, on other builds of the same
 * kernel version, finds nothing; {@link #isAlive} tells. Any thread, one at a time.
 */
public final class PagemapScan implements AutoCloseable {
  /** The range is registered for asynchronous write protection. */
  public static final long WPALLOWED = 1;

  /** Written since it was protected, or never protected. A dropped page of an existing page table counts as written as well. */
  public static final long WRITTEN = 1 << 1;

  /** Backed by a file or shared memory, that is, not (or not yet) a private copy. Costly to ask for: the kernel looks at every page. */
  public static final long FILE = 1 << 2;

  public static final long PRESENT = 1 << 3;

  /** Anything in the page table that is not a present page: swapped out, under migration, or a marker. */
  public static final long SWAPPED = 1 << 4;

  /** The shared page of zeros. */
  public static final long PFNZERO = 1 << 5;

  public static final long HUGE = 1 << 6;

  /** {@code MADV_GUARD_INSTALL} (6.15). */
  public static final long GUARD = 1 << 8;

  /** Flag: protect again what matched, atomically with the report. */
  public static final long WP_MATCHING = 1;

  /** {@code PAGEMAP_SCAN = _IOWR('f', 16, struct pm_scan_arg)}, 96 bytes. */
  private static final long PAGEMAP_SCAN = 0xC0606610L;

  static final int ARGUMENT_BYTES = 96;

  /** {@code struct page_region}: start, end, categories. */
  public static final int REGION_BYTES = 24;

  /** Any address will do, mapped or not. */
  private static final long PROBE_ADDRESS = 4096;

  private final int fd;
  private long walkEnd;

  private PagemapScan(int fd) {
    this.fd = fd;
  }

  /** Opens the page map of a process. */
  public static PagemapScan open(int pid) {
    return new PagemapScan(Fd.open("/proc/" + pid + "/pagemap", Fd.O_RDONLY | Fd.O_CLOEXEC, 0));
  }

  /**
   * One scan. A page matches when {@code ((categories ^ inverted) & all) == all} and {@code (categories ^ inverted) & any} is not zero
   * (or {@code any} is 0); what is reported is {@code categories & report}, without inversion.
   *
   * @param regions where regions are reported, {@link #REGION_BYTES} each
   * @return number of regions, or minus the error number. When it fills {@code regions}, go on from {@link #walkEnd()}; when it is
   *     smaller, the scan is complete
   */
  public int scan(
      long start, long end, long flags, long inverted, long all, long any, long report, MemorySegment regions) {
    var argument = Scratch.get();
    int capacity = (int) (regions.byteSize() / REGION_BYTES);
    argument.set(ValueLayout.JAVA_LONG, 0, ARGUMENT_BYTES);
    argument.set(ValueLayout.JAVA_LONG, 8, flags);
    argument.set(ValueLayout.JAVA_LONG, 16, start);
    argument.set(ValueLayout.JAVA_LONG, 24, end);
    argument.set(ValueLayout.JAVA_LONG, 32, 0);
    argument.set(ValueLayout.JAVA_LONG, 40, regions.address());
    argument.set(ValueLayout.JAVA_LONG, 48, capacity);
    argument.set(ValueLayout.JAVA_LONG, 56, 0);
    argument.set(ValueLayout.JAVA_LONG, 64, inverted);
    argument.set(ValueLayout.JAVA_LONG, 72, all);
    argument.set(ValueLayout.JAVA_LONG, 80, any);
    argument.set(ValueLayout.JAVA_LONG, 88, report);
    long count = Fd.ioctl(fd, PAGEMAP_SCAN, argument);
    // The kernel leaves walk_end at the last flush of its inner buffer when it reaches the end of the range with room to spare
    // (fs/proc/task_mmu.c, do_pagemap_scan), so it only means something when the caller's memory was filled.
    walkEnd = end;
    if (count == capacity) {
      long lastEnd = regions.get(ValueLayout.JAVA_LONG, (count - 1) * REGION_BYTES + 8);
      walkEnd = Math.max(argument.get(ValueLayout.JAVA_LONG, 32), lastEnd);
    }
    return (int) count;
  }

  /** Where the next scan has to start after one that filled its regions, else the end of its range. */
  public long walkEnd() {
    return walkEnd;
  }

  /**
   * Reads entries of the page map: bits 0–54 page frame number, 61 file or shared, 62 swapped, 63 present ({@code
   * Documentation/admin-guide/mm/pagemap.rst}). Page frame numbers need {@code CAP_SYS_ADMIN}.
   *
   * @param entries 8 bytes for each page
   * @return bytes read, 0 when the address space is gone, or minus the error number
   */
  public long entries(long address, MemorySegment entries) {
    return Fd.pread(fd, entries, address >>> 12 << 3);
  }

  /** Whether the process still has the address space that this was opened for. */
  public boolean isAlive() {
    // fs/proc/task_mmu.c, pagemap_read: nothing is read when the address space has no user any more.
    return entries(PROBE_ADDRESS, Scratch.get().asSlice(0, Long.BYTES)) == Long.BYTES;
  }

  @Override
  public void close() {
    Fd.close(fd);
  }
}
