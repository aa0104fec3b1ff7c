package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;

/**
 * Shared memory objects of reserved huge pages, which can be read and mapped but not written by a call ({@code
 * fs/hugetlbfs/inode.c}). Constants: {@code asm-generic/mman*.h}. Any thread.
 */
public final class HugeMemory {
  private static final int PROT_READ_WRITE = 3;
  private static final int MAP_SHARED = 1;
  private static final int MAP_ANONYMOUS = 0x20;
  private static final int MAP_NORESERVE = 0x4000;
  private static final int MAP_HUGETLB = 0x40000;
  /** {@code MAP_HUGE_SHIFT}. */
  private static final int SIZE_SHIFT = 26;

  private HugeMemory() {}

  /**
   * Creates what {@code mmap(MAP_SHARED|MAP_ANONYMOUS|MAP_HUGETLB)} creates, and returns a descriptor of it; no mapping and no
   * reservation stay behind.
   *
   * @param bytes a multiple of {@code pageBytes}
   */
  public static int createAnonymous(long bytes, long pageBytes) {
    int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_HUGETLB | Long.numberOfTrailingZeros(pageBytes) << SIZE_SHIFT;
    long address = map(bytes, flags, -1, 0);
    try {
      // The only way to a descriptor of such an object is its mapping's link (man 5 proc, map_files).
      String link = "/proc/self/map_files/" + Long.toHexString(address) + "-" + Long.toHexString(address + bytes);
      return Fd.open(link, Fd.O_RDWR | Fd.O_CLOEXEC, 0);
    } finally {
      Libc.syscall(SyscallNumber.MUNMAP, address, bytes, 0);
    }
  }

  /**
   * Writes into an object, whose huge pages are made as far as they are missing.
   *
   * @param content lies within the object
   * @throws KernelException {@code ENOSPC} when this host has no more free huge pages of that size
   */
  public static void write(int fd, long pageBytes, long offset, MemorySegment content) {
    long first = offset & -pageBytes;
    long bytes = (offset + content.byteSize() + pageBytes - 1 & -pageBytes) - first;
    // Else a page that cannot be had is a signal (SIGBUS).
    Libc.check(
        Libc.syscall(SyscallNumber.FALLOCATE, fd, 0, first, bytes, 0, 0),
        () -> "fallocate of huge pages of " + (pageBytes >> 10) + " kB (see /proc/sys/vm/nr_hugepages; " + bytes + " bytes)");
    long address = map(bytes, MAP_SHARED | MAP_NORESERVE, fd, first);
    try {
      MemorySegment.ofAddress(address).reinterpret(bytes).asSlice(offset - first).copyFrom(content);
    } finally {
      Libc.syscall(SyscallNumber.MUNMAP, address, bytes, 0);
    }
  }

  private static long map(long bytes, int flags, int fd, long offset) {
    return Libc.check(
        Libc.syscall(SyscallNumber.MMAP, 0, bytes, PROT_READ_WRITE, flags, fd, offset), () -> "mmap(" + bytes + " bytes of huge pages)");
  }
}
