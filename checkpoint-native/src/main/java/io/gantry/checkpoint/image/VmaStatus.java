package io.gantry.checkpoint.image;

/** Bits of {@code vma_entry.status}: what kind of mapping it is. The numbers are CRIU's ({@code criu/include/image.h}). */
public final class VmaStatus {
  /** Has content or a place that the restoring side must recreate. */
  public static final int REGULAR = 1 << 0;

  public static final int STACK = 1 << 1;
  public static final int VSYSCALL = 1 << 2;
  public static final int VDSO = 1 << 3;
  public static final int HEAP = 1 << 5;
  public static final int FILE_PRIVATE = 1 << 6;
  public static final int FILE_SHARED = 1 << 7;
  public static final int ANON_SHARED = 1 << 8;
  public static final int ANON_PRIVATE = 1 << 9;
  public static final int SYSV_IPC = 1 << 10;
  public static final int VVAR = 1 << 12;
  /** The ring of an AIO context, made by {@code io_setup(2)}. */
  public static final int AIO_RING = 1 << 13;

  public static final int MEMFD = 1 << 14;

  /** No mapping: a range of guard markers ({@code MADV_GUARD_INSTALL}) inside one. */
  public static final int GUARD = 1 << 16;

  /** Does not count towards the commit limit, because it never was writable. */
  public static final int NOT_ACCOUNTABLE = 1 << 18;

  /** Of a file in the container's own {@code /dev/shm}, which travels as shared memory does. */
  public static final int OWN_TMPFS = 1 << 20;

  /** Of reserved huge pages (hugetlbfs) of this size. */
  public static final int HUGE_2M = 1 << 21;

  public static final int HUGE_1G = 1 << 22;

  /** Provided by the kernel: nothing to send. */
  public static final int KERNEL = VDSO | VVAR | VSYSCALL;

  private VmaStatus() {}
}
