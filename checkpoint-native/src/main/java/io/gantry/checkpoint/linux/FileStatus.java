package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/**
 * What {@code fstat(2)} and {@code newfstatat(2)} tell. Offsets: {@code struct stat} of {@code asm/stat.h}, x86-64. Any thread.
 *
 * @param device {@code st_dev} in the encoding of user space
 * @param inode {@code st_ino}
 * @param links {@code st_nlink}
 * @param mode {@code st_mode}
 * @param uid owner
 * @param gid group
 * @param rawDevice {@code st_rdev}
 * @param size {@code st_size}, bytes
 * @param blockBytes {@code st_blksize}
 * @param times when it was last read and written
 * @param changedNs {@code st_ctime}, when anything of it was last changed, which nobody can set; nanoseconds since 1970
 */
public record FileStatus(
    long device, long inode, long links, int mode, int uid, int gid, long rawDevice, long size, long blockBytes, FileTimes times, long changedNs) {
  /** Mask and values of the file type in {@code st_mode} ({@code linux/stat.h}). */
  public static final int S_IFMT = 0170000;

  public static final int S_IFSOCK = 0140000;
  public static final int S_IFLNK = 0120000;
  public static final int S_IFREG = 0100000;
  public static final int S_IFBLK = 0060000;
  public static final int S_IFDIR = 0040000;
  public static final int S_IFCHR = 0020000;
  public static final int S_IFIFO = 0010000;

  private static final int STAT_BYTES = 144;
  private static final int CHANGED_AT = 104;
  /** For {@code newfstatat}: do not follow a final symbolic link ({@code linux/fcntl.h}). */
  private static final int AT_SYMLINK_NOFOLLOW = 0x100;

  /** Status of an open descriptor of this process. */
  public static FileStatus of(int fd) {
    var at = Scratch.get();
    Libc.check(Libc.syscall(SyscallNumber.FSTAT, fd, at.address(), 0), () -> "fstat(descriptor " + fd + ")");
    return from(at);
  }

  /** Status of what a path names, a final symbolic link followed; empty when nothing is there or it cannot be reached. */
  public static Optional<FileStatus> of(String path) {
    return of(path, 0);
  }

  /** As {@link #of(String)}, but of a final symbolic link itself. */
  public static Optional<FileStatus> ofLink(String path) {
    return of(path, AT_SYMLINK_NOFOLLOW);
  }

  private static Optional<FileStatus> of(String path, int flags) {
    try (var arena = Arena.ofConfined()) {
      var name = arena.allocateFrom(path);
      var at = arena.allocate(STAT_BYTES, 8);
      long result = Libc.syscall(SyscallNumber.NEWFSTATAT, Fd.AT_FDCWD, name.address(), at.address(), flags, 0, 0);
      return result < 0 ? Optional.empty() : Optional.of(from(at));
    }
  }

  /** @param at a {@code struct stat} */
  static FileStatus from(MemorySegment at) {
    return new FileStatus(
        at.get(ValueLayout.JAVA_LONG, 0),
        at.get(ValueLayout.JAVA_LONG, 8),
        at.get(ValueLayout.JAVA_LONG, 16),
        at.get(ValueLayout.JAVA_INT, 24),
        at.get(ValueLayout.JAVA_INT, 28),
        at.get(ValueLayout.JAVA_INT, 32),
        at.get(ValueLayout.JAVA_LONG, 40),
        at.get(ValueLayout.JAVA_LONG, 48),
        at.get(ValueLayout.JAVA_LONG, 56),
        FileTimes.from(at),
        at.get(ValueLayout.JAVA_LONG, CHANGED_AT) * 1_000_000_000 + at.get(ValueLayout.JAVA_LONG, CHANGED_AT + 8));
  }

  /** One of the {@code S_IF…} values; 0 for anonymous inodes on most kernels. */
  public int type() {
    return mode & S_IFMT;
  }

  /** Whether both are the same inode. */
  public boolean sameInode(FileStatus other) {
    return device == other.device && inode == other.inode;
  }
}
