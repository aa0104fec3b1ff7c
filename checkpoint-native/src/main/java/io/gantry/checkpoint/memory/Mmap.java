package io.gantry.checkpoint.memory;

/** Constants of {@code mmap(2)}, {@code mremap(2)}, {@code madvise(2)} and {@code prctl(2)} on x86-64 ({@code asm-generic/mman*.h}, {@code linux/prctl.h}). */
final class Mmap {
  static final long PAGE = 4096;

  /** First address that a process can map: the usual {@code vm.mmap_min_addr}. */
  static final long ADDRESS_MIN = 0x10000;

  /** First address that no process can map: the end of the lower half with four-level page tables. */
  static final long ADDRESS_END = 0x7fff_ffff_f000L;

  static final int PROT_READ = 1;
  static final int PROT_WRITE = 2;
  static final int PROT_EXEC = 4;

  static final int MAP_SHARED = 1;
  static final int MAP_PRIVATE = 2;

  /** 6.11; the kernel may drop the pages at any time. */
  static final int MAP_DROPPABLE = 8;

  static final int MAP_FIXED = 0x10;
  static final int MAP_ANONYMOUS = 0x20;
  static final int MAP_GROWSDOWN = 0x100;
  static final int MAP_LOCKED = 0x2000;

  /** No flag of mmap, which ignores it: beside {@link #MAP_LOCKED}, pages are locked when they are first touched ({@code MLOCK_ONFAULT}). */
  static final int LOCK_ON_FAULT = 1 << 30;

  /** No flag of mmap either: sealed by {@code mseal(2)}, so that nobody can unmap, move, replace or protect it any more. */
  static final int SEALED = 1 << 29;

  /** Flag of mlock2. */
  static final int MLOCK_ONFAULT = 1;

  static final int MAP_NORESERVE = 0x4000;
  static final int MAP_FIXED_NOREPLACE = 0x100000;

  static final int MREMAP_MAYMOVE = 1;
  static final int MREMAP_FIXED = 2;

  static final int MADV_RANDOM = 1;
  static final int MADV_SEQUENTIAL = 2;
  static final int MADV_DONTNEED = 4;
  static final int MADV_DONTFORK = 10;
  static final int MADV_MERGEABLE = 12;
  static final int MADV_HUGEPAGE = 14;
  static final int MADV_NOHUGEPAGE = 15;
  static final int MADV_DONTDUMP = 16;
  static final int MADV_WIPEONFORK = 18;

  /** 6.13. */
  static final int MADV_GUARD_INSTALL = 102;

  static final int PR_SET_MM = 35;
  static final int PR_SET_MM_MAP = 14;
  static final int PR_SET_THP_DISABLE = 41;

  private Mmap() {}
}
