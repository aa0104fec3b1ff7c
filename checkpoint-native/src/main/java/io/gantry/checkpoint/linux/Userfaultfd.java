package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Our copy of a userfaultfd that was created inside a tracked process, used for asynchronous write protection only ({@code man 2
 * userfaultfd}, {@code linux/userfaultfd.h} of Linux 6.7 or later). Everything but its creation is done from outside. Closing the
 * last copy unregisters every range and leaves no trace. Any thread, one at a time.
 */
public final class Userfaultfd implements AutoCloseable {
  /** Flags to create it with: {@code O_CLOEXEC | O_NONBLOCK}. */
  public static final int CREATE_FLAGS = Fd.O_CLOEXEC | Fd.O_NONBLOCK;

  /** {@code UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_ASYNC}. */
  private static final long FEATURES = 1L << 12 | 1L << 13 | 1L << 15;

  /** {@code UFFD_API}, the version number of the interface. */
  private static final long API = 0xAA;

  /** {@code UFFDIO_API = _IOWR(0xAA, 0x3F, struct uffdio_api)}, 24 bytes. */
  private static final long UFFDIO_API = 0xC018AA3FL;

  /** {@code UFFDIO_REGISTER = _IOWR(0xAA, 0x00, struct uffdio_register)}, 32 bytes. */
  private static final long UFFDIO_REGISTER = 0xC020AA00L;

  /** {@code UFFDIO_REGISTER_MODE_WP}. */
  private static final long MODE_WP = 2;

  private final int fd;
  private boolean closed;

  private Userfaultfd(int fd) {
    this.fd = fd;
  }

  /** One for this process itself, to see whether the kernel has what is needed. */
  public static Userfaultfd open() {
    return adopt((int) Libc.check(Libc.syscall(SyscallNumber.USERFAULTFD, CREATE_FLAGS, 0, 0), () -> "userfaultfd()"));
  }

  /** Takes over a descriptor on which nothing has been done yet; closes it when the kernel lacks what is needed (6.7 has it). */
  public static Userfaultfd adopt(int fd) {
    var argument = Scratch.get();
    argument.set(ValueLayout.JAVA_LONG, 0, API);
    argument.set(ValueLayout.JAVA_LONG, 8, FEATURES);
    argument.set(ValueLayout.JAVA_LONG, 16, 0);
    long result = Fd.ioctl(fd, UFFDIO_API, argument);
    if (result < 0) {
      Fd.close(fd);
      throw new KernelException("ioctl(UFFDIO_API, asynchronous write protection)", (int) -result);
    }
    return new Userfaultfd(fd);
  }

  /**
   * Registers a range for write protection; registering it again does no harm.
   *
   * @return 0 or minus the error number: {@code EBUSY} when another userfaultfd has it, {@code EINVAL} when it cannot be tracked or is
   *     not mapped, {@code ENOMEM} or {@code ESRCH} when the address space is gone
   */
  public long register(long start, long length) {
    MemorySegment argument = Scratch.get();
    argument.set(ValueLayout.JAVA_LONG, 0, start);
    argument.set(ValueLayout.JAVA_LONG, 8, length);
    argument.set(ValueLayout.JAVA_LONG, 16, MODE_WP);
    argument.set(ValueLayout.JAVA_LONG, 24, 0);
    return Fd.ioctl(fd, UFFDIO_REGISTER, argument);
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      Fd.close(fd);
    }
  }
}
