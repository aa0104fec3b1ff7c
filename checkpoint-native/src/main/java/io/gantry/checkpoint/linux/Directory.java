package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/** {@code getdents64(2)} for directories whose entries are numbers: processes, threads, descriptors. Any thread. */
public final class Directory {
  /** Offsets in {@code struct linux_dirent64} ({@code linux/dirent.h}). */
  private static final int LENGTH_AT = 16;

  private static final int NAME_AT = 19;

  private Directory() {}

  /** The entries that are decimal numbers, in the kernel's order; empty when the directory is not there (any more). */
  public static int[] numbers(String path) {
    int fd = Fd.tryOpen(path, Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_CLOEXEC, 0);
    if (fd == -Errno.ENOENT || fd == -Errno.ESRCH) {
      return new int[0];
    }
    Libc.check(fd, () -> "opening directory " + path);
    try {
      int[] found = new int[16];
      int count = 0;
      var scratch = Scratch.get();
      while (true) {
        long bytes = Libc.syscall(SyscallNumber.GETDENTS64, fd, scratch.address(), scratch.byteSize());
        if (bytes == -Errno.ENOENT || bytes == -Errno.ESRCH) {
          return Arrays.copyOf(found, count);
        }
        Libc.check(bytes, () -> "reading directory " + path);
        if (bytes == 0) {
          return Arrays.copyOf(found, count);
        }
        for (long at = 0; at < bytes; at += scratch.get(ValueLayout.JAVA_SHORT_UNALIGNED, at + LENGTH_AT)) {
          int number = 0;
          long digit = at + NAME_AT;
          byte character = scratch.get(ValueLayout.JAVA_BYTE, digit);
          while (character >= '0' && character <= '9') {
            number = number * 10 + character - '0';
            character = scratch.get(ValueLayout.JAVA_BYTE, ++digit);
          }
          if (character == 0 && digit > at + NAME_AT) {
            if (count == found.length) {
              found = Arrays.copyOf(found, count * 2);
            }
            found[count++] = number;
          }
        }
      }
    } finally {
      Fd.close(fd);
    }
  }
}
