package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;

/** {@code memfd_create(2)}. Constants: {@code linux/memfd.h}. */
public final class Memfd {
  public static final int CLOEXEC = 1;
  public static final int ALLOW_SEALING = 2;
  public static final int HUGETLB = 4;
  public static final int NOEXEC_SEAL = 8;
  public static final int EXEC = 16;

  /** {@code MFD_HUGE_SHIFT} ({@code asm-generic/hugetlb_encode.h}). */
  private static final int SIZE_SHIFT = 26;

  private Memfd() {}

  /** Flags for one of reserved huge pages. @param pageBytes their size, or 0 for ordinary pages */
  public static int huge(long pageBytes) {
    return pageBytes == 0 ? 0 : HUGETLB | Long.numberOfTrailingZeros(pageBytes) << SIZE_SHIFT;
  }

  /** @param name at most 249 bytes; shows as {@code memfd:name} */
  public static int create(String name, int flags) {
    try (var arena = Arena.ofConfined()) {
      return (int)
          Libc.check(
              Libc.syscall(SyscallNumber.MEMFD_CREATE, arena.allocateFrom(name).address(), flags, 0),
              () -> "memfd_create(\"" + name + "\")");
    }
  }
}
