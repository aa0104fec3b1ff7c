package io.gantry.checkpoint.memory;

import static io.gantry.checkpoint.linux.PagemapScan.FILE;
import static io.gantry.checkpoint.linux.PagemapScan.GUARD;
import static io.gantry.checkpoint.linux.PagemapScan.PFNZERO;
import static io.gantry.checkpoint.linux.PagemapScan.PRESENT;
import static io.gantry.checkpoint.linux.PagemapScan.SWAPPED;
import static io.gantry.checkpoint.linux.PagemapScan.WP_MATCHING;
import static io.gantry.checkpoint.linux.PagemapScan.WRITTEN;

import io.gantry.checkpoint.memory.RegionScan.Query;

/** What write tracking asks the kernel about page tables. */
final class ScanQueries {
  /** Written or never protected pages of anonymous memory; protects them again. Pages of zeros are told apart. */
  static final Query WRITTEN_ANONYMOUS =
      new Query(WP_MATCHING, GUARD, WRITTEN | GUARD, PRESENT | SWAPPED, PFNZERO);

  /** The same for private copies of file pages; looks at every page frame, hence only for these mappings. */
  static final Query WRITTEN_BACKED =
      new Query(WP_MATCHING, GUARD | FILE, WRITTEN | GUARD | FILE, PRESENT | SWAPPED, 0);

  static final Query ABSENT_ANONYMOUS = new Query(0, PRESENT, PRESENT, 0, SWAPPED | GUARD);

  static final Query CONTENT_ANONYMOUS = new Query(0, GUARD | PFNZERO, GUARD | PFNZERO, PRESENT | SWAPPED, 0);
  static final Query CONTENT_BACKED = new Query(0, GUARD | FILE, GUARD | FILE, PRESENT | SWAPPED, WRITTEN | SWAPPED);

  /** For a frozen process, in one pass over the page tables: what was written, and what is not there. */
  static final Query FROZEN_ANONYMOUS =
      new Query(0, PRESENT, 0, WRITTEN | PRESENT, WRITTEN | PRESENT | SWAPPED | GUARD);

  static final Query COUNT_WRITTEN = new Query(0, 0, WRITTEN, PRESENT | SWAPPED, 0);
  static final Query UNCHANGED = new Query(0, WRITTEN | FILE, WRITTEN | FILE | PRESENT, 0, 0);
  static final Query GUARDS = new Query(0, 0, GUARD, 0, 0);

  private ScanQueries() {}
}
