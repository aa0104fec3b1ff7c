package io.gantry.checkpoint.linux;

/** Memory objects without a name that processes map shared. Constants: {@code asm-generic/mman*.h}, {@code linux/falloc.h}. Any thread. */
public final class SharedMemory {
  private static final int PROT_READ_WRITE = 3;
  private static final int MAP_SHARED_ANONYMOUS = 0x21;
  private static final int MAP_NORESERVE = 0x4000;

  /** {@code FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE}. */
  private static final int PUNCH_HOLE = 3;

  private SharedMemory() {}

  /**
   * Creates what {@code mmap(MAP_SHARED|MAP_ANONYMOUS)} creates, and returns a descriptor of it; no mapping stays behind.
   *
   * @param bytes a multiple of 4096
   */
  public static int createAnonymous(long bytes) {
    long address =
        Libc.check(
            Libc.syscall(SyscallNumber.MMAP, 0, bytes, PROT_READ_WRITE, MAP_SHARED_ANONYMOUS | MAP_NORESERVE, -1, 0),
            () -> "mmap(" + bytes + " bytes, MAP_SHARED|MAP_ANONYMOUS)");
    try {
      // The only way to a descriptor of such an object is its mapping's link (man 5 proc, map_files).
      String link = "/proc/self/map_files/" + Long.toHexString(address) + "-" + Long.toHexString(address + bytes);
      return Fd.open(link, Fd.O_RDWR | Fd.O_CLOEXEC, 0);
    } finally {
      Libc.syscall(SyscallNumber.MUNMAP, address, bytes, 0);
    }
  }

  /** Makes a range of an object or file a hole that reads as zero and holds no memory. */
  public static void punch(int fd, long offset, long bytes) {
    Libc.check(
        Libc.syscall(SyscallNumber.FALLOCATE, fd, PUNCH_HOLE, offset, bytes, 0, 0),
        () -> "fallocate(" + fd + ", PUNCH_HOLE, " + offset + ", " + bytes + ")");
  }
}
