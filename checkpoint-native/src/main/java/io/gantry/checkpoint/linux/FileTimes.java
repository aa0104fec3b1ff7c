package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * When a file was last read and written. The time of its last change of any kind cannot be set. Any thread.
 *
 * @param accessedS {@code st_atime}, seconds since 1970
 * @param accessedNs its nanoseconds, 0 to 999,999,999
 * @param modifiedS {@code st_mtime}
 * @param modifiedNs its nanoseconds
 */
public record FileTimes(long accessedS, int accessedNs, long modifiedS, int modifiedNs) {
  /** Offsets in {@code struct stat} of {@code asm/stat.h}, x86-64. */
  private static final int ACCESSED_AT = 72;
  private static final int MODIFIED_AT = 88;

  /** {@code linux/fcntl.h} */
  private static final int AT_SYMLINK_NOFOLLOW = 0x100;

  /** @param at a {@code struct stat} */
  static FileTimes from(MemorySegment at) {
    return new FileTimes(
        at.get(ValueLayout.JAVA_LONG, ACCESSED_AT),
        (int) at.get(ValueLayout.JAVA_LONG, ACCESSED_AT + 8),
        at.get(ValueLayout.JAVA_LONG, MODIFIED_AT),
        (int) at.get(ValueLayout.JAVA_LONG, MODIFIED_AT + 8));
  }

  /** Sets both by {@code utimensat(2)}, of a final symbolic link itself. */
  public void set(String path) {
    try (var arena = Arena.ofConfined()) {
      long name = arena.allocateFrom(path).address();
      Libc.check(
          Libc.syscall(SyscallNumber.UTIMENSAT, Fd.AT_FDCWD, name, toNative(arena).address(), AT_SYMLINK_NOFOLLOW, 0, 0),
          () -> "utimensat(\"" + path + "\")");
    }
  }

  /** As {@link #set(String)}, of what a descriptor of this process is open on. */
  public void set(int fd) {
    try (var arena = Arena.ofConfined()) {
      Libc.check(
          Libc.syscall(SyscallNumber.UTIMENSAT, fd, 0, toNative(arena).address(), 0, 0, 0), () -> "futimens(descriptor " + fd + ")");
    }
  }

  /** Two of {@code struct timespec}. */
  private MemorySegment toNative(Arena arena) {
    return arena.allocateFrom(ValueLayout.JAVA_LONG, accessedS, accessedNs, modifiedS, modifiedNs);
  }
}
