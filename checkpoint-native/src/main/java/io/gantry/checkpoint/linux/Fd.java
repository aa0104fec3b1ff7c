package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Optional;

/** Calls on file descriptors of this process. Descriptors are plain numbers. Constants: {@code asm-generic/fcntl.h}. Any thread. */
public final class Fd {
  public static final int O_RDONLY = 0;
  public static final int O_WRONLY = 1;
  public static final int O_RDWR = 2;
  public static final int O_CREAT = 0100;
  public static final int O_EXCL = 0200;
  public static final int O_NOCTTY = 0400;
  public static final int O_TRUNC = 01000;
  public static final int O_APPEND = 02000;
  public static final int O_NONBLOCK = 04000;
  public static final int O_DSYNC = 010000;
  public static final int O_ASYNC = 020000;
  public static final int O_DIRECT = 040000;
  public static final int O_LARGEFILE = 0100000;
  public static final int O_DIRECTORY = 0200000;
  public static final int O_NOFOLLOW = 0400000;
  public static final int O_NOATIME = 01000000;
  public static final int O_CLOEXEC = 02000000;
  public static final int O_SYNC = 04010000;
  public static final int O_PATH = 010000000;
  public static final int O_TMPFILE = 020200000;

  /** For the "at" calls: relative to the working directory. */
  public static final int AT_FDCWD = -100;
  /** For the "at" calls: an empty path means the descriptor itself. */
  public static final int AT_EMPTY_PATH = 0x1000;

  public static final int SEEK_SET = 0;
  public static final int SEEK_CUR = 1;
  public static final int SEEK_END = 2;
  public static final int SEEK_DATA = 3;
  public static final int SEEK_HOLE = 4;

  public static final int F_DUPFD = 0;
  public static final int F_GETFD = 1;
  public static final int F_SETFD = 2;
  public static final int F_GETFL = 3;
  public static final int F_SETFL = 4;
  public static final int F_SETOWN = 8;
  public static final int F_SETSIG = 10;
  public static final int F_GETSIG = 11;
  public static final int F_SETOWN_EX = 15;
  public static final int F_GETOWN_EX = 16;
  public static final int F_DUPFD_CLOEXEC = 1030;
  public static final int F_SETPIPE_SZ = 1031;
  public static final int F_GETPIPE_SZ = 1032;
  public static final int F_ADD_SEALS = 1033;
  public static final int F_GET_SEALS = 1034;
  public static final int FD_CLOEXEC = 1;

  private Fd() {}

  /** {@code open(2)}; throws with the path in the sentence. */
  public static int open(String path, int flags, int mode) {
    return (int) Libc.check(tryOpen(path, flags, mode), () -> "open(\"" + path + "\")");
  }

  /** As {@link #open}, but returns minus the error number. */
  public static int tryOpen(String path, int flags, int mode) {
    try (var arena = Arena.ofConfined()) {
      return (int) Libc.syscall(SyscallNumber.OPENAT, AT_FDCWD, arena.allocateFrom(path).address(), flags, mode, 0, 0);
    }
  }

  /** {@code close(2)}. The descriptor is gone whatever it answers, so it answers nothing. */
  public static void close(int fd) {
    Libc.syscall(SyscallNumber.CLOSE, fd, 0, 0);
  }

  /** A close-on-exec copy. */
  public static int dup(int fd) {
    return (int) Libc.check(fcntl(fd, F_DUPFD_CLOEXEC, 0), () -> "dup of descriptor " + fd);
  }

  /** {@code fcntl(2)} with a number (or an address); the result or minus the error number. */
  public static long fcntl(int fd, int command, long argument) {
    return Libc.syscall(SyscallNumber.FCNTL, fd, command, argument);
  }

  /** {@code ioctl(2)} with a number (or an address); the result or minus the error number. */
  public static long ioctl(int fd, long request, long argument) {
    return Libc.syscall(SyscallNumber.IOCTL, fd, request, argument);
  }

  /** {@code ioctl(2)} with native memory; the result or minus the error number. */
  public static long ioctl(int fd, long request, MemorySegment argument) {
    return Libc.syscall(SyscallNumber.IOCTL, fd, request, argument.address());
  }

  /** Bytes read, 0 at the end, or minus the error number. The memory is native. */
  public static long read(int fd, MemorySegment destination) {
    return Libc.syscall(SyscallNumber.READ, fd, destination.address(), destination.byteSize());
  }

  /** Bytes written or minus the error number. The memory is native. */
  public static long write(int fd, MemorySegment source) {
    return Libc.syscall(SyscallNumber.WRITE, fd, source.address(), source.byteSize());
  }

  /** Writes all bytes. */
  public static void write(int fd, byte[] bytes) {
    try (var arena = Arena.ofConfined()) {
      var all = arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes);
      for (long done = 0; done < bytes.length; ) {
        done += Libc.check(write(fd, all.asSlice(done)), () -> "write(descriptor " + fd + ", " + bytes.length + " bytes)");
      }
    }
  }

  /** Bytes read at a position, 0 at the end, or minus the error number. The memory is native. */
  public static long pread(int fd, MemorySegment destination, long position) {
    return Libc.syscall(SyscallNumber.PREAD64, fd, destination.address(), destination.byteSize(), position, 0, 0);
  }

  /** Up to {@code lengthMax} (at most 60 KiB) bytes at a position; empty at the end. */
  public static byte[] readAt(int fd, long position, int lengthMax) {
    var scratch = Scratch.get().asSlice(0, lengthMax);
    long length = Libc.check(pread(fd, scratch, position), () -> "pread(descriptor " + fd + ", " + lengthMax + " bytes)");
    return scratch.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE);
  }

  /** Bytes written at a position or minus the error number. The memory is native. */
  public static long pwrite(int fd, MemorySegment source, long position) {
    return Libc.syscall(SyscallNumber.PWRITE64, fd, source.address(), source.byteSize(), position, 0, 0);
  }

  /** The new position or minus the error number. */
  public static long seek(int fd, long offset, int whence) {
    return Libc.syscall(SyscallNumber.LSEEK, fd, offset, whence);
  }

  /** The whole content of a file, {@code /proc} files included; a lighter way than {@code Files} for files that are read by the hundred. */
  public static byte[] readAll(String path) {
    byte[] content = tryReadAll(path);
    if (content == null) {
      throw new KernelException("reading " + path, Libc.errno());
    }
    return content;
  }

  /** As {@link #readAll}, but empty when there is no such file or process (any more). */
  public static Optional<byte[]> readIfThere(String path) {
    byte[] content = tryReadAll(path);
    if (content == null) {
      int errno = Libc.errno();
      if (errno == Errno.ENOENT || errno == Errno.ESRCH) {
        return Optional.empty();
      }
      throw new KernelException("reading " + path, errno);
    }
    return Optional.of(content);
  }

  private static byte[] tryReadAll(String path) {
    var scratch = Scratch.get();
    scratch.setString(0, path);
    int fd = (int) Libc.syscall(SyscallNumber.OPENAT, AT_FDCWD, scratch.address(), O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0) {
      return null;
    }
    byte[] content = new byte[0];
    while (true) {
      long count = read(fd, scratch);
      if (count <= 0) {
        int errno = Libc.errno();
        close(fd);
        if (count == 0) {
          return content;
        }
        Libc.errno(errno);
        return null;
      }
      int before = content.length;
      content = Arrays.copyOf(content, before + (int) count);
      MemorySegment.copy(scratch, ValueLayout.JAVA_BYTE, 0, content, before, (int) count);
    }
  }

  /** {@code ftruncate(2)}: 0 or minus the error number. */
  public static long truncate(int fd, long length) {
    return Libc.syscall(SyscallNumber.FTRUNCATE, fd, length, 0);
  }
}
