package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;

/** {@code inotify(7)} on our copy of another process's instance. Constants: {@code linux/inotify.h}. Any thread. */
public final class Inotify {
  /** Do not follow a final symbolic link; only for adding. */
  public static final int IN_DONT_FOLLOW = 0x0200_0000;

  private static final int IN_ACCESS = 1;
  private static final int IN_MODIFY = 2;
  /** {@code asm-generic/ioctls.h}. */
  private static final long FIONREAD = 0x541b;
  /** Which number the next watch gets: {@code _IOW('I', 0, __s32)}; since 4.16, with {@code CONFIG_CHECKPOINT_RESTORE}. */
  private static final long INOTIFY_IOC_SETNEXTWD = 0x4004_4900L;
  /** {@code sizeof(struct inotify_event)} without a name. */
  private static final int EVENT_BYTES = 16;
  /** A queue that takes more than this many events is not filled. The default limit is 16,384. */
  private static final int EVENTS_MAX = 4 << 20;

  private static final int EVENTS_AT_ONCE = 1024;

  private Inotify() {}

  /** Bytes of events that wait to be read; also for fanotify. */
  public static int pendingBytes(int fd) {
    var at = Scratch.get();
    Libc.check(Fd.ioctl(fd, FIONREAD, at), () -> "ioctl(descriptor " + fd + ", FIONREAD)");
    return at.get(ValueLayout.JAVA_INT, 0);
  }

  /** The next watch gets this number, or the next free one after it. 1 to {@code Integer.MAX_VALUE}. */
  public static void setNext(int fd, int number) {
    Libc.check(Fd.ioctl(fd, INOTIFY_IOC_SETNEXTWD, number), () -> "ioctl(inotify, INOTIFY_IOC_SETNEXTWD, " + number + ")");
  }

  /** Adds a watch; its number. */
  public static int addWatch(int fd, String path, int mask) {
    try (var arena = Arena.ofConfined()) {
      long number = Libc.syscall(SyscallNumber.INOTIFY_ADD_WATCH, fd, arena.allocateFrom(path).address(), mask);
      return (int) Libc.check(number, () -> "inotify_add_watch(\"" + path + "\")");
    }
  }

  /**
   * Leaves nothing in the queue but {@code IN_Q_OVERFLOW}, of which the kernel tells when events were lost. The queue's limit is
   * noted when the instance is made, so it has to be filled: a file of ours is read and written in turn, as events that equal the last are
   * merged. Then all but the last are read. Takes some 30 ms with the usual limit of 16,384 events.
   *
   * @param fd without watches and with {@code O_NONBLOCK} or not
   */
  public static void overflow(int fd) {
    int memory = Memfd.create("gantry-overflow", 0);
    int file = -1;
    try {
      // What is open without a name is not watched, but what is opened again is.
      var path = "/proc/self/fd/" + memory;
      file = Fd.open(path, Fd.O_RDWR | Fd.O_CLOEXEC, 0);
      Fd.write(file, new byte[1]);
      int watch = addWatch(fd, path, IN_ACCESS | IN_MODIFY);
      int queued = fill(fd, file);
      // While the queue is full, that the watch is gone (IN_IGNORED) is not told either.
      Libc.check(Libc.syscall(SyscallNumber.INOTIFY_RM_WATCH, fd, watch, 0), () -> "inotify_rm_watch()");
      drain(fd, queued - EVENT_BYTES);
    } finally {
      Fd.close(memory);
      if (file >= 0) {
        Fd.close(file);
      }
    }
  }

  private static int fill(int fd, int file) {
    try (var arena = Arena.ofConfined()) {
      var one = arena.allocate(1);
      int before = -1;
      int queued = pendingBytes(fd);
      for (int events = 0; queued != before; events += EVENTS_AT_ONCE) {
        if (events > EVENTS_MAX) {
          throw new KernelException("filling the queue of an inotify instance (fs.inotify.max_queued_events is too high)", Errno.E2BIG);
        }
        for (int i = 0; i < EVENTS_AT_ONCE; i += 2) {
          Libc.check(Fd.pwrite(file, one, 0), () -> "pwrite(file of ours)");
          Libc.check(Fd.pread(file, one, 0), () -> "pread(file of ours)");
        }
        before = queued;
        queued = pendingBytes(fd);
      }
      return queued;
    }
  }

  private static void drain(int fd, int bytes) {
    var at = Scratch.get();
    for (int left = bytes; left > 0; ) {
      long got = Fd.read(fd, at.asSlice(0, Math.min(left, at.byteSize())));
      left -= (int) Libc.check(got, () -> "read(inotify)");
    }
  }
}
