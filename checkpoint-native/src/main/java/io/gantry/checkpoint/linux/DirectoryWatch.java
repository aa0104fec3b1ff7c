package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;

/**
 * An {@code inotify(7)} instance of our own that watches directories for changes of whatever kind. Constants: {@code linux/inotify.h}. One thread at a
 * time.
 */
public final class DirectoryWatch implements AutoCloseable {
  private static final int IN_MODIFY = 0x2;
  private static final int IN_ATTRIB = 0x4;
  /** Also when the last mapping of a file that was opened for writing goes. */
  private static final int IN_CLOSE_WRITE = 0x8;

  private static final int IN_MOVED = 0xc0;
  private static final int IN_MOVED_TO = 0x80;
  private static final int IN_CREATE = 0x100;
  private static final int IN_DELETE = 0x200;
  private static final int IN_Q_OVERFLOW = 0x4000;
  private static final int IN_IGNORED = 0x8000;
  private static final int IN_ONLYDIR = 0x0100_0000;
  private static final int IN_ISDIR = 0x4000_0000;
  private static final int MASK = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED | IN_CREATE | IN_DELETE | IN_ONLYDIR;
  /** {@code IN_NONBLOCK | IN_CLOEXEC}. */
  private static final int FLAGS = Fd.O_NONBLOCK | Fd.O_CLOEXEC;

  private static final int BUFFER_BYTES = 1 << 16;
  /** {@code struct inotify_event}: wd, mask, cookie, len, name. */
  private static final int NAME_AT = 16;

  private final Arena arena = Arena.ofShared();
  private final java.lang.foreign.MemorySegment buffer = arena.allocate(BUFFER_BYTES, 8);
  private final int fd;

  /** Takes what was seen. */
  public interface Changes {
    /**
     * @param watch number of the directory
     * @param name in it, byte for character; empty when the directory itself was changed
     * @param directoryCame whether a directory was made or moved there under this name
     */
    void changed(int watch, String name, boolean directoryCame);

    /** The kernel has forgotten some: anything may have changed. */
    void overflowed();
  }

  public DirectoryWatch() {
    fd = (int) Libc.check(Libc.syscall(SyscallNumber.INOTIFY_INIT1, FLAGS, 0, 0), () -> "inotify_init1()");
  }

  /**
   * Watches a directory.
   *
   * @param directory a descriptor of it, of any kind
   * @return its number, the same each time; or minus the error number, {@code ENOSPC} when this user may watch no more
   */
  public int add(int directory) {
    try (var scratch = Arena.ofConfined()) {
      var path = scratch.allocateFrom("/proc/self/fd/" + directory);
      return (int) Libc.syscall(SyscallNumber.INOTIFY_ADD_WATCH, fd, path.address(), MASK);
    }
  }

  /** Watches it no longer; nothing happens when it is gone. */
  public void remove(int watch) {
    Libc.syscall(SyscallNumber.INOTIFY_RM_WATCH, fd, watch, 0);
  }

  /** Waits until there is something to {@link #drain}, at most so long. */
  public void await(int timeoutMs) {
    Poll.await(fd, Poll.IN, timeoutMs);
  }

  /** Hands over everything that has been seen until now. */
  public void drain(Changes changes) {
    while (true) {
      long bytes = Fd.read(fd, buffer);
      if (bytes == -Errno.EAGAIN || bytes == 0) {
        return;
      }
      Libc.check(bytes, () -> "read(inotify)");
      for (long at = 0; at < bytes; ) {
        int watch = buffer.get(ValueLayout.JAVA_INT, at);
        int mask = buffer.get(ValueLayout.JAVA_INT, at + 4);
        int length = buffer.get(ValueLayout.JAVA_INT, at + 12);
        if ((mask & IN_Q_OVERFLOW) != 0) {
          changes.overflowed();
        } else if ((mask & IN_IGNORED) == 0) {
          boolean directoryCame = (mask & IN_ISDIR) != 0 && (mask & (IN_CREATE | IN_MOVED_TO)) != 0;
          changes.changed(watch, length == 0 ? "" : buffer.getString(at + NAME_AT, FileTree.BYTES), directoryCame);
        }
        at += NAME_AT + length;
      }
    }
  }

  /** Everything is forgotten. */
  @Override
  public void close() {
    Fd.close(fd);
    arena.close();
  }
}
