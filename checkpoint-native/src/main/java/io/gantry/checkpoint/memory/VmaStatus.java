package io.gantry.checkpoint.memory;

/** Bits of {@code vma_entry.status}: what kind of mapping it is. The numbers are CRIU's ({@code criu/include/image.h}). */
final class VmaStatus {
  /** Has content or a place that the restoring side must recreate. */
  static final int REGULAR = 1 << 0;

  static final int STACK = 1 << 1;
  static final int VSYSCALL = 1 << 2;
  static final int VDSO = 1 << 3;
  static final int HEAP = 1 << 5;
  static final int FILE_PRIVATE = 1 << 6;
  static final int FILE_SHARED = 1 << 7;
  static final int ANON_SHARED = 1 << 8;
  static final int ANON_PRIVATE = 1 << 9;
  static final int SYSV_IPC = 1 << 10;
  static final int VVAR = 1 << 12;
  static final int MEMFD = 1 << 14;

  /** No mapping: a range of guard markers ({@code MADV_GUARD_INSTALL}) inside one. */
  static final int GUARD = 1 << 16;

  /** Does not count towards the commit limit, because it never was writable. */
  static final int NOT_ACCOUNTABLE = 1 << 18;

  /** Provided by the kernel: nothing to send. */
  static final int KERNEL = VDSO | VVAR | VSYSCALL;

  private VmaStatus() {}
}
