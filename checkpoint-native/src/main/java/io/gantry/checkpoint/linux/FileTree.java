package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;

/**
 * Calls on a tree of files whose names may be any bytes: a name or path is a string in which each character stands for one byte (ISO
 * 8859-1). Any thread.
 */
public final class FileTree {
  /** How names are strings. */
  public static final Charset BYTES = StandardCharsets.ISO_8859_1;

  /** {@code RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH} ({@code linux/openat2.h}). */
  private static final long RESOLVE_INSIDE = 0x01 | 0x02 | 0x04 | 0x08;

  /** {@code struct open_how}: flags, mode, resolve. */
  private static final int OPEN_HOW_BYTES = 24;

  private static final int AT_REMOVEDIR = 0x200;
  private static final int AT_SYMLINK_NOFOLLOW = 0x100;
  /** {@code XATTR_LIST_MAX} and {@code XATTR_SIZE_MAX} ({@code linux/limits.h}). */
  private static final int XATTR_BYTES_MAX = 65536;

  /** Offsets in {@code struct linux_dirent64} ({@code linux/dirent.h}). */
  private static final int LENGTH_AT = 16;

  private static final int NAME_AT = 19;

  private FileTree() {}

  /**
   * Opens what is below a directory, and nothing else: neither through a symbolic link nor on another mount, whoever changes the tree meanwhile.
   *
   * @param root descriptor of the directory
   * @param path relative; empty for the directory itself
   * @param flags as for {@code open(2)}
   * @return our descriptor, or minus the error number
   */
  public static int open(int root, String path, int flags) {
    try (var arena = Arena.ofConfined()) {
      var name = text(arena, path.isEmpty() ? "." : path);
      var how = arena.allocate(OPEN_HOW_BYTES, 8);
      how.set(ValueLayout.JAVA_LONG, 0, flags | Fd.O_CLOEXEC);
      how.set(ValueLayout.JAVA_LONG, 16, RESOLVE_INSIDE);
      return (int) Libc.syscall(SyscallNumber.OPENAT2, root, name.address(), how.address(), OPEN_HOW_BYTES, 0, 0);
    }
  }

  /** {@code openat(2)} by an absolute path whose directories nobody else can change: a descriptor, or minus the error number. */
  public static int open(String path, int flags, int mode) {
    try (var arena = Arena.ofConfined()) {
      return (int) Libc.syscall(SyscallNumber.OPENAT, Fd.AT_FDCWD, text(arena, path).address(), flags | Fd.O_CLOEXEC, mode, 0, 0);
    }
  }

  /** Names in a directory that is open for reading, without itself and the one above, in the file system's order. */
  public static List<String> names(int fd) {
    var names = new ArrayList<String>();
    try (var arena = Arena.ofConfined()) {
      var at = arena.allocate(1 << 16, 8);
      while (true) {
        long bytes = Libc.syscall(SyscallNumber.GETDENTS64, fd, at.address(), at.byteSize());
        // One that has been removed since it was opened.
        if (bytes == 0 || bytes == -Errno.ENOENT) {
          return names;
        }
        Libc.check(bytes, () -> "getdents64(descriptor " + fd + ")");
        for (long offset = 0; offset < bytes; offset += at.get(ValueLayout.JAVA_SHORT, offset + LENGTH_AT) & 0xffff) {
          var name = string(at, offset + NAME_AT);
          if (!name.equals(".") && !name.equals("..")) {
            names.add(name);
          }
        }
      }
    }
  }

  private static String string(MemorySegment at, long offset) {
    long end = offset;
    while (at.get(ValueLayout.JAVA_BYTE, end) != 0) {
      end++;
    }
    return new String(at.asSlice(offset, end - offset).toArray(ValueLayout.JAVA_BYTE), BYTES);
  }

  /** Where the symbolic link leads that a descriptor was opened on with {@code O_PATH}. */
  public static String linkTarget(int fd) {
    try (var arena = Arena.ofConfined()) {
      var empty = text(arena, "");
      var at = arena.allocate(4096);
      long bytes = Libc.syscall(SyscallNumber.READLINKAT, fd, empty.address(), at.address(), at.byteSize(), 0, 0);
      Libc.check(bytes, () -> "readlinkat(descriptor " + fd + ")");
      return new String(at.asSlice(0, bytes).toArray(ValueLayout.JAVA_BYTE), BYTES);
    }
  }

  /** All extended attributes, access control lists included, of what a descriptor is open on, {@code O_PATH} included; by name. */
  public static TreeMap<String, byte[]> attributes(int fd) {
    var found = new TreeMap<String, byte[]>();
    try (var arena = Arena.ofConfined()) {
      // fgetxattr(2) does not take O_PATH; the link leads to the file itself, also to a symbolic link.
      var path = text(arena, "/proc/self/fd/" + fd);
      var list = Scratch.get();
      long bytes = Libc.syscall(SyscallNumber.LISTXATTR, path.address(), list.address(), list.byteSize());
      if (bytes == -Errno.EOPNOTSUPP) {
        return found;
      }
      Libc.check(bytes, () -> "listxattr(descriptor " + fd + ")");
      if (bytes == 0) {
        return found;
      }
      var names = new String(list.asSlice(0, bytes).toArray(ValueLayout.JAVA_BYTE), BYTES).split("\0");
      var value = arena.allocate(XATTR_BYTES_MAX);
      for (var name : names) {
        long size = Libc.syscall(SyscallNumber.GETXATTR, path.address(), text(arena, name).address(), value.address(), value.byteSize(), 0, 0);
        if (size >= 0) {
          found.put(name, value.asSlice(0, size).toArray(ValueLayout.JAVA_BYTE));
        } else if (size != -Errno.ENODATA) {
          Libc.check(size, () -> "getxattr(descriptor " + fd + ", " + name + ")");
        }
      }
    }
    return found;
  }

  /** {@code lsetxattr(2)}. */
  public static void setAttribute(String path, String name, byte[] value) {
    try (var arena = Arena.ofConfined()) {
      var bytes = arena.allocate(Math.max(1, value.length));
      MemorySegment.copy(value, 0, bytes, ValueLayout.JAVA_BYTE, 0, value.length);
      long result = Libc.syscall(SyscallNumber.LSETXATTR, text(arena, path).address(), text(arena, name).address(), bytes.address(), value.length, 0, 0);
      Libc.check(result, () -> "lsetxattr(\"" + path + "\", " + name + ")");
    }
  }

  /** {@code lremovexattr(2)}; nothing happens when it has none of that name. */
  public static void removeAttribute(String path, String name) {
    try (var arena = Arena.ofConfined()) {
      long result = Libc.syscall(SyscallNumber.LREMOVEXATTR, text(arena, path).address(), text(arena, name).address(), 0);
      if (result != -Errno.ENODATA) {
        Libc.check(result, () -> "lremovexattr(\"" + path + "\", " + name + ")");
      }
    }
  }

  /** {@code mkdir(2)}. */
  public static void makeDirectory(String path, int mode) {
    one(SyscallNumber.MKDIR, path, mode, 0, () -> "mkdir(\"" + path + "\")");
  }

  /** {@code mknod(2)}. @param mode with the type; @param device {@code st_rdev} */
  public static void makeNode(String path, int mode, long device) {
    one(SyscallNumber.MKNOD, path, mode, device, () -> "mknod(\"" + path + "\")");
  }

  /** {@code symlink(2)}. */
  public static void makeLink(String target, String path) {
    two(SyscallNumber.SYMLINK, target, path, () -> "symlink(\"" + path + "\")");
  }

  /** {@code link(2)}, of a symbolic link itself. */
  public static void link(String from, String to) {
    two(SyscallNumber.LINK, from, to, () -> "link(\"" + from + "\", \"" + to + "\")");
  }

  /** {@code rename(2)}. */
  public static void rename(String from, String to) {
    two(SyscallNumber.RENAME, from, to, () -> "rename(\"" + from + "\", \"" + to + "\")");
  }

  /** {@code unlink(2)} or {@code rmdir(2)}; nothing happens when there is no such name. */
  public static void remove(String path, boolean directory) {
    try (var arena = Arena.ofConfined()) {
      long result = Libc.syscall(SyscallNumber.UNLINKAT, Fd.AT_FDCWD, text(arena, path).address(), directory ? AT_REMOVEDIR : 0);
      if (result != -Errno.ENOENT) {
        Libc.check(result, () -> (directory ? "rmdir(\"" : "unlink(\"") + path + "\")");
      }
    }
  }

  /** {@code lchown(2)}. */
  public static void setOwner(String path, int uid, int gid) {
    one(SyscallNumber.LCHOWN, path, uid & 0xffff_ffffL, gid & 0xffff_ffffL, () -> "lchown(\"" + path + "\")");
  }

  /** {@code chmod(2)}; not of a symbolic link, which has no mode of its own. */
  public static void setMode(String path, int mode) {
    one(SyscallNumber.CHMOD, path, mode & 07777, 0, () -> "chmod(\"" + path + "\")");
  }

  /** {@code utimensat(2)}, of a symbolic link itself. */
  public static void setTimes(String path, FileNode.Moment accessed, FileNode.Moment modified) {
    try (var arena = Arena.ofConfined()) {
      var times = arena.allocateFrom(ValueLayout.JAVA_LONG, accessed.seconds(), accessed.nanoseconds(), modified.seconds(), modified.nanoseconds());
      long result = Libc.syscall(SyscallNumber.UTIMENSAT, Fd.AT_FDCWD, text(arena, path).address(), times.address(), AT_SYMLINK_NOFOLLOW, 0, 0);
      Libc.check(result, () -> "utimensat(\"" + path + "\")");
    }
  }

  /** {@code syncfs(2)}: everything written to the file system of a descriptor is on its disk. */
  public static void sync(int fd) {
    Libc.check(Libc.syscall(SyscallNumber.SYNCFS, fd, 0, 0), () -> "syncfs(descriptor " + fd + ")");
  }

  private static void one(int call, String path, long first, long second, java.util.function.Supplier<String> words) {
    try (var arena = Arena.ofConfined()) {
      Libc.check(Libc.syscall(call, text(arena, path).address(), first, second), words);
    }
  }

  private static void two(int call, String first, String second, java.util.function.Supplier<String> words) {
    try (var arena = Arena.ofConfined()) {
      Libc.check(Libc.syscall(call, text(arena, first).address(), text(arena, second).address(), 0), words);
    }
  }

  private static MemorySegment text(Arena arena, String text) {
    return arena.allocateFrom(text, BYTES);
  }
}
