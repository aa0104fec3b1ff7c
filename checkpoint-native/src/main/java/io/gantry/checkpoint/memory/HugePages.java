package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.image.VmaStatus;

/** Sizes of reserved huge pages ({@code man 2 mmap}, MAP_HUGETLB) on x86-64, as mappings have them. */
final class HugePages {
  /** What {@code /proc/PID/maps} calls memory that was mapped with {@code MAP_HUGETLB|MAP_ANONYMOUS}. */
  static final String ANONYMOUS = "/anon_hugepage";

  private static final int MAP_HUGETLB = 0x40000;
  /** {@code MAP_HUGE_SHIFT}: the size's logarithm lies there in the flags. */
  private static final int SIZE_SHIFT = 26;

  private static final int SHIFT_2M = 21;
  private static final int SHIFT_1G = 30;

  private HugePages() {}

  /** {@link VmaStatus#HUGE_2M} or {@link VmaStatus#HUGE_1G}. @param pageBytes {@code st_blksize} of the file behind it */
  static int status(long pageBytes) {
    return pageBytes == 1L << SHIFT_1G ? VmaStatus.HUGE_1G : VmaStatus.HUGE_2M;
  }

  static long pageBytes(int status) {
    return 1L << shift(status);
  }

  /** For {@code mmap} of anonymous memory. */
  static int mapFlags(int status) {
    return MAP_HUGETLB | shift(status) << SIZE_SHIFT;
  }

  private static int shift(int status) {
    return (status & VmaStatus.HUGE_1G) != 0 ? SHIFT_1G : SHIFT_2M;
  }
}
