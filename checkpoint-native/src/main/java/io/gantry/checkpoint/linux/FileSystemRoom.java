package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;

/**
 * What {@code fstatfs(2)} tells of the file system that a file lies on. Offsets: {@code struct statfs} of {@code asm-generic/statfs.h}. Any thread.
 *
 * @param type {@code f_type}, see {@link FileSystemType}
 * @param id {@code f_fsid}; 0 where the file system has none
 * @param usedBytes taken
 * @param usedInodes taken
 * @param freeBytes that anybody may take
 * @param freeInodes that are left; {@code Long.MAX_VALUE} where they have no limit
 * @param readOnly {@code ST_RDONLY}
 */
public record FileSystemRoom(long type, long id, long usedBytes, long usedInodes, long freeBytes, long freeInodes, boolean readOnly) {
  private static final int STATFS_BYTES = 120;
  private static final int ST_RDONLY = 1;

  /** @param fd of any kind */
  public static FileSystemRoom of(int fd) {
    try (var arena = Arena.ofConfined()) {
      var at = arena.allocate(STATFS_BYTES, 8);
      Libc.check(Libc.syscall(SyscallNumber.FSTATFS, fd, at.address(), 0), () -> "fstatfs(descriptor " + fd + ")");
      long block = at.get(ValueLayout.JAVA_LONG, 8);
      long inodes = at.get(ValueLayout.JAVA_LONG, 40);
      long freeInodes = at.get(ValueLayout.JAVA_LONG, 48);
      return new FileSystemRoom(
          at.get(ValueLayout.JAVA_LONG, 0),
          at.get(ValueLayout.JAVA_LONG, 56),
          (at.get(ValueLayout.JAVA_LONG, 16) - at.get(ValueLayout.JAVA_LONG, 24)) * block,
          inodes - freeInodes,
          at.get(ValueLayout.JAVA_LONG, 32) * block,
          inodes == 0 ? Long.MAX_VALUE : freeInodes,
          (at.get(ValueLayout.JAVA_LONG, 80) & ST_RDONLY) != 0);
    }
  }
}
