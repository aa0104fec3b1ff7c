package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The descriptor table of another process, read through {@code /proc/PID/fd}, {@code /proc/PID/fdinfo} and {@code
 * pidfd_getfd(2)}.
 * Nothing in the process changes. One thread at a time; holds three descriptors of our own until closed.
 */
public final class DescriptorTable implements AutoCloseable {
  /** Where in the scratch memory a {@code struct stat} lies, behind the descriptor's name. */
  private static final int STATUS_AT = 64;

  private final int pid;
  private final int pidfd;
  private final int links;
  private final int infos;

  private DescriptorTable(int pid, int pidfd, int links, int infos) {
    this.pid = pid;
    this.pidfd = pidfd;
    this.links = links;
    this.infos = infos;
  }

  /** @param pid of a process or thread. @throws KernelException with {@code ESRCH} or {@code ENOENT} when the process is gone */
  public static DescriptorTable open(int pid) {
    int pidfd = Pidfd.open(pid, Pidfd.THREAD);
    int links = -1;
    try {
      int flags = Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_CLOEXEC;
      links = Fd.open("/proc/" + pid + "/fd", flags, 0);
      return new DescriptorTable(pid, pidfd, links, Fd.open("/proc/" + pid + "/fdinfo", flags, 0));
    } catch (KernelException e) {
      Fd.close(pidfd);
      if (links >= 0) {
        Fd.close(links);
      }
      throw e;
    }
  }

  public int pid() {
    return pid;
  }

  /** The numbers of all open descriptors, ascending; empty for a zombie. */
  public int[] list() {
    Libc.check(Fd.seek(links, 0, Fd.SEEK_SET), () -> "lseek(/proc/" + pid + "/fd)");
    var found = new int[64];
    int count = 0;
    var buffer = Scratch.get();
    while (true) {
      long bytes = Libc.syscall(SyscallNumber.GETDENTS64, links, buffer.address(), buffer.byteSize());
      if (bytes == -Errno.ENOENT || bytes == -Errno.ESRCH || bytes == 0) {
        break;
      }
      Libc.check(bytes, () -> "getdents64(/proc/" + pid + "/fd)");
      // struct linux_dirent64: inode 8, offset 8, record length 2, type 1, name.
      for (long at = 0; at < bytes; at += Short.toUnsignedInt(buffer.get(ValueLayout.JAVA_SHORT_UNALIGNED, at + 16))) {
        int number = 0;
        long digit = at + 19;
        for (byte c = buffer.get(ValueLayout.JAVA_BYTE, digit); c >= '0' && c <= '9'; ) {
          number = number * 10 + (c - '0');
          c = buffer.get(ValueLayout.JAVA_BYTE, ++digit);
        }
        if (digit > at + 19) {
          if (count == found.length) {
            found = Arrays.copyOf(found, count * 2);
          }
          found[count++] = number;
        }
      }
    }
    found = Arrays.copyOf(found, count);
    Arrays.sort(found);
    return found;
  }

  /** Our own copy of a descriptor, close-on-exec. The caller closes it. */
  public int take(int fd) {
    return Pidfd.getfd(pidfd, fd);
  }

  /** What {@code fstat(2)} tells of a descriptor, without a copy of it: the way through {@code /proc/PID/fd} leads to the open file itself. */
  public FileStatus status(int fd) {
    var name = name(fd);
    var at = Scratch.get().asSlice(STATUS_AT);
    // Some file systems ask their server on that way, and may say no where fstat does not (d_weak_revalidate in fs/namei.c).
    if (Libc.syscall(SyscallNumber.NEWFSTATAT, links, name.address(), at.address(), 0, 0, 0) == 0) {
      return FileStatus.from(at);
    }
    int copy = take(fd);
    try {
      return FileStatus.of(copy);
    } finally {
      Fd.close(copy);
    }
  }

  /** What {@code /proc/PID/fd/N} points to, as the process's mount namespace names it; raw bytes. */
  public byte[] link(int fd) {
    var name = name(fd);
    var target = Scratch.get().asSlice(32);
    long length = Libc.syscall(SyscallNumber.READLINKAT, links, name.address(), target.address(), 8192, 0, 0);
    Libc.check(length, () -> "readlink(/proc/" + pid + "/fd/" + fd + ")");
    return target.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE);
  }

  /** The text of {@code /proc/PID/fdinfo/N}. */
  public String info(int fd) {
    var name = name(fd);
    int file = (int) Libc.syscall(SyscallNumber.OPENAT, infos, name.address(), Fd.O_RDONLY | Fd.O_CLOEXEC, 0, 0, 0);
    Libc.check(file, () -> "open(/proc/" + pid + "/fdinfo/" + fd + ")");
    try {
      String text = "";
      var buffer = Scratch.get();
      long length;
      do {
        length = Libc.check(Fd.read(file, buffer), () -> "read(/proc/" + pid + "/fdinfo/" + fd + ")");
        var piece = new String(buffer.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.ISO_8859_1);
        text = text.isEmpty() ? piece : text + piece;
        // The kernel hands out the whole text as far as it fits (single_open in fs/proc/fd.c): less than that is the end.
      } while (length == buffer.byteSize());
      return text;
    } finally {
      Fd.close(file);
    }
  }

  private static MemorySegment name(int fd) {
    var scratch = Scratch.get();
    scratch.setString(0, Integer.toString(fd));
    return scratch;
  }

  @Override
  public void close() {
    Fd.close(pidfd);
    Fd.close(links);
    Fd.close(infos);
  }
}
