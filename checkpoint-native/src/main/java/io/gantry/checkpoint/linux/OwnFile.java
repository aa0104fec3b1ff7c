package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

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

  /** {@code mkdir(2)}: 0 or minus the error number. */
  public static int makeDirectory(String path, int mode) {
    try (var arena = Arena.ofConfined()) {
      return (int) Libc.syscall(SyscallNumber.MKDIR, arena.allocateFrom(path).address(), mode, 0);
    }
  }

  /** {@code mkfifo(3)}: 0 or minus the error number. */
  public static int makeFifo(String path, int mode) {
    try (var arena = Arena.ofConfined()) {
      return (int) Libc.syscall(SyscallNumber.MKNOD, arena.allocateFrom(path).address(), FileStatus.S_IFIFO | mode, 0);
    }
  }

  /** {@code rmdir(2)}. */
  public static void removeDirectory(String path) {
    try (var arena = Arena.ofConfined()) {
      Libc.check(Libc.syscall(SyscallNumber.RMDIR, arena.allocateFrom(path).address(), 0, 0), () -> "rmdir(\"" + path + "\")");
    }
  }

  /** {@code unlink(2)}. */
  public static void unlink(String path) {
    try (var arena = Arena.ofConfined()) {
      Libc.check(Libc.syscall(SyscallNumber.UNLINK, arena.allocateFrom(path).address(), 0, 0), () -> "unlink(\"" + path + "\")");
    }
  }

  /** {@code rename(2)}. */
  public static void rename(String from, String to) {
    twoPaths(SyscallNumber.RENAME, "rename", from, to);
  }

  /** {@code link(2)}. */
  public static void link(String from, String to) {
    twoPaths(SyscallNumber.LINK, "link", from, to);
  }

  /** {@code symlink(2)}. */
  public static void symbolicLink(String target, String path) {
    twoPaths(SyscallNumber.SYMLINK, "symlink", target, path);
  }

  private static void twoPaths(int call, String name, String first, String second) {
    try (var arena = Arena.ofConfined()) {
      Libc.check(
          Libc.syscall(call, arena.allocateFrom(first).address(), arena.allocateFrom(second).address(), 0),
          () -> name + "(\"" + first + "\", \"" + second + "\")");
    }
  }

  /** {@code mknod(2)}. @param mode with the type; @param device {@code st_rdev} of a device, else 0 */
  public static void makeNode(String path, int mode, long device) {
    try (var arena = Arena.ofConfined()) {
      Libc.check(Libc.syscall(SyscallNumber.MKNOD, arena.allocateFrom(path).address(), mode, device), () -> "mknod(\"" + path + "\")");
    }
  }

  /** {@code lchown(2)}: of a final symbolic link itself. */
  public static void setOwner(String path, int uid, int gid) {
    try (var arena = Arena.ofConfined()) {
      Libc.check(
          Libc.syscall(SyscallNumber.LCHOWN, arena.allocateFrom(path).address(), uid, gid),
          () -> "lchown(\"" + path + "\", " + uid + ", " + gid + ")");
    }
  }

  /** {@code chmod(2)}; permission bits only. */
  public static void setMode(String path, int mode) {
    try (var arena = Arena.ofConfined()) {
      Libc.check(
          Libc.syscall(SyscallNumber.CHMOD, arena.allocateFrom(path).address(), mode, 0),
          () -> "chmod(\"" + path + "\", 0" + Integer.toOctalString(mode) + ")");
    }
  }

  /** {@code readlink(2)}; a byte that is no UTF-8 comes as U+FFFD. */
  public static Optional<String> readLink(String path) {
    try (var arena = Arena.ofConfined()) {
      var at = Scratch.get();
      long bytes = Libc.syscall(SyscallNumber.READLINK, arena.allocateFrom(path).address(), at.address(), at.byteSize());
      return bytes < 0
          ? Optional.empty()
          : Optional.of(new String(at.asSlice(0, bytes).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8));
    }
  }
}
