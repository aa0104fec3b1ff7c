package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** {@code getdents64(2)}, above all for directories whose entries are numbers: processes, threads, descriptors. Any thread. */
public final class Directory {
  /** Offsets in {@code struct linux_dirent64} ({@code linux/dirent.h}). */
  private static final int LENGTH_AT = 16;

  private static final int NAME_AT = 19;

  private Directory() {}

  private interface Visitor {
    /** @param at where the name of an entry begins, which ends with a zero byte */
    void name(MemorySegment memory, long at);
  }

  /** The entries that are decimal numbers, in the kernel's order; empty when the directory is not there (any more). */
  public static int[] numbers(String path) {
    var found = new Numbers();
    read(path, Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_CLOEXEC, found);
    return Arrays.copyOf(found.numbers, found.count);
  }

  private static final class Numbers implements Visitor {
    private int[] numbers = new int[16];
    private int count;

    @Override
    public void name(MemorySegment memory, long at) {
      int number = 0;
      long digit = at;
      byte character = memory.get(ValueLayout.JAVA_BYTE, digit);
      while (character >= '0' && character <= '9') {
        number = number * 10 + character - '0';
        character = memory.get(ValueLayout.JAVA_BYTE, ++digit);
      }
      if (character == 0 && digit > at) {
        if (count == numbers.length) {
          numbers = Arrays.copyOf(numbers, count * 2);
        }
        numbers[count++] = number;
      }
    }
  }

  /**
   * All entries except the directory itself and the one above, in the kernel's order; empty when it is no directory (any more). Nothing of it
   * changes by that, not the time of last access either. A byte that is no UTF-8 comes as U+FFFD.
   */
  public static List<String> names(String path) {
    var found = new ArrayList<String>();
    read(
        path,
        Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_NOFOLLOW | Fd.O_NOATIME | Fd.O_CLOEXEC,
        (memory, at) -> {
          var name = memory.getString(at);
          if (!name.equals(".") && !name.equals("..")) {
            found.add(name);
          }
        });
    return found;
  }

  private static void read(String path, int flags, Visitor visitor) {
    int fd = Fd.tryOpen(path, flags, 0);
    if (isGone(fd)) {
      return;
    }
    Libc.check(fd, () -> "opening directory " + path);
    try {
      var scratch = Scratch.get();
      while (true) {
        long bytes = Libc.syscall(SyscallNumber.GETDENTS64, fd, scratch.address(), scratch.byteSize());
        if (bytes == 0 || isGone(bytes)) {
          return;
        }
        Libc.check(bytes, () -> "reading directory " + path);
        for (long at = 0; at < bytes; at += scratch.get(ValueLayout.JAVA_SHORT_UNALIGNED, at + LENGTH_AT)) {
          visitor.name(scratch, at + NAME_AT);
        }
      }
    } finally {
      Fd.close(fd);
    }
  }

  private static boolean isGone(long result) {
    return result == -Errno.ENOENT || result == -Errno.ESRCH || result == -Errno.ENOTDIR;
  }
}
