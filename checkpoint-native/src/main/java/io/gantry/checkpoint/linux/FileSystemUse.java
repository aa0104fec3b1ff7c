package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * How much of a file system is in use: {@code statfs(2)}. Offsets: {@code struct statfs} of {@code asm-generic/statfs.h}. Any thread.
 *
 * @param type {@code f_type}, see {@link FileSystemType}
 * @param bytes in use
 * @param inodes in use; of tmpfs that is its root and every other inode, also those of files that are open or mapped and have no name any more.
 *     Not known, and empty, when it has no limit for them ({@code mount -o nr_inodes=0})
 */
public record FileSystemUse(long type, long bytes, OptionalLong inodes) {
  private static final int STATFS_BYTES = 120;

  /** Of the file system that a path lies on; empty when it leads nowhere. */
  public static Optional<FileSystemUse> of(String path) {
    try (var arena = Arena.ofConfined()) {
      var at = arena.allocate(STATFS_BYTES, 8);
      if (Libc.syscall(SyscallNumber.STATFS, arena.allocateFrom(path).address(), at.address(), 0) < 0) {
        return Optional.empty();
      }
      long blockBytes = at.get(ValueLayout.JAVA_LONG, 8);
      long blocks = at.get(ValueLayout.JAVA_LONG, 16) - at.get(ValueLayout.JAVA_LONG, 24);
      long inodesMax = at.get(ValueLayout.JAVA_LONG, 40);
      var inodes = inodesMax == 0 ? OptionalLong.empty() : OptionalLong.of(inodesMax - at.get(ValueLayout.JAVA_LONG, 48));
      return Optional.of(new FileSystemUse(at.get(ValueLayout.JAVA_LONG, 0), blocks * blockBytes, inodes));
    }
  }
}
