package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;

/** Making and shaping files through descriptors of this process. Errors are thrown. Any thread. */
public final class OwnFile {
  private OwnFile() {}

  /** {@code ftruncate(2)}, bytes. */
  public static void resize(int fd, long size) {
    Libc.check(Fd.truncate(fd, size), () -> "ftruncate(descriptor " + fd + ", " + size + ")");
  }

  /** {@code fchown(2)}. */
  public static void setOwner(int fd, int uid, int gid) {
    Libc.check(Libc.syscall(SyscallNumber.FCHOWN, fd, uid, gid), () -> "fchown(descriptor " + fd + ", " + uid + ", " + gid + ")");
  }

  /** {@code fchmod(2)}; permission bits only. */
  public static void setMode(int fd, int mode) {
    Libc.check(Libc.syscall(SyscallNumber.FCHMOD, fd, mode, 0), () -> "fchmod(descriptor " + fd + ", 0"
        + Integer.toOctalString(mode) + ")");
  }

  /** {@code unlink(2)}. */
  public static void unlink(String path) {
    try (var arena = Arena.ofConfined()) {
      Libc.check(Libc.syscall(SyscallNumber.UNLINK, arena.allocateFrom(path).address(), 0, 0), () -> "unlink(\"" + path + "\")");
    }
  }
}
