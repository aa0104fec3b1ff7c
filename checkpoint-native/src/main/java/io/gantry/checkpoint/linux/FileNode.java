package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * What {@code statx(2)} tells of a file, with every time to the nanosecond. Offsets: {@code struct statx} of {@code linux/stat.h}. Any thread.
 *
 * @param inode {@code stx_ino}
 * @param links {@code stx_nlink}
 * @param mode {@code stx_mode}, with the type
 * @param uid owner
 * @param gid group
 * @param size bytes
 * @param roomBytes what it takes on its file system
 * @param rawDevice {@code st_rdev} in the encoding of user space
 * @param device {@code st_dev} in the same encoding
 * @param accessed when it was last read
 * @param born when it was made; zero where the file system does not know
 * @param changed when anything of it was last changed
 * @param modified when its content was
 */
public record FileNode(
    long inode,
    long links,
    int mode,
    int uid,
    int gid,
    long size,
    long roomBytes,
    long rawDevice,
    long device,
    Moment accessed,
    Moment born,
    Moment changed,
    Moment modified) {
  private static final int STATX_BYTES = 256;
  private static final int AT_SYMLINK_NOFOLLOW = 0x100;
  /** {@code STATX_BASIC_STATS | STATX_BTIME}. */
  private static final int MASK = 0xfff;

  /** A unit of {@code stx_blocks}. */
  private static final int BLOCK_BYTES = 512;

  /** @param seconds since 1970; @param nanoseconds 0 to 999,999,999 */
  public record Moment(long seconds, int nanoseconds) implements Comparable<Moment> {
    @Override
    public int compareTo(Moment other) {
      int bySeconds = Long.compare(seconds, other.seconds);
      return bySeconds == 0 ? Integer.compare(nanoseconds, other.nanoseconds) : bySeconds;
    }
  }

  /** Of what a descriptor of this process is open on, {@code O_PATH} included. */
  public static FileNode of(int fd) {
    var at = Scratch.get();
    at.set(ValueLayout.JAVA_BYTE, STATX_BYTES, (byte) 0);
    long result = Libc.syscall(SyscallNumber.STATX, fd, at.address() + STATX_BYTES, Fd.AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, MASK, at.address(), 0);
    Libc.check(result, () -> "statx(descriptor " + fd + ")");
    return from(at);
  }

  private static FileNode from(MemorySegment at) {
    return new FileNode(
        at.get(ValueLayout.JAVA_LONG, 32),
        at.get(ValueLayout.JAVA_INT, 16),
        at.get(ValueLayout.JAVA_SHORT, 28) & 0xffff,
        at.get(ValueLayout.JAVA_INT, 20),
        at.get(ValueLayout.JAVA_INT, 24),
        at.get(ValueLayout.JAVA_LONG, 40),
        at.get(ValueLayout.JAVA_LONG, 48) * BLOCK_BYTES,
        device(at.get(ValueLayout.JAVA_INT, 128), at.get(ValueLayout.JAVA_INT, 132)),
        device(at.get(ValueLayout.JAVA_INT, 136), at.get(ValueLayout.JAVA_INT, 140)),
        moment(at, 64),
        moment(at, 80),
        moment(at, 96),
        moment(at, 112));
  }

  /** {@code makedev(3)}. */
  private static long device(int major, int minor) {
    return (major & 0xffff_f000L) << 32 | (major & 0xfffL) << 8 | (minor & 0xffff_ff00L) << 12 | minor & 0xffL;
  }

  private static Moment moment(MemorySegment at, int offset) {
    return new Moment(at.get(ValueLayout.JAVA_LONG, offset), at.get(ValueLayout.JAVA_INT, offset + 8));
  }

  /** One of the {@code S_IF…} values of {@link FileStatus}. */
  public int type() {
    return mode & FileStatus.S_IFMT;
  }
}
