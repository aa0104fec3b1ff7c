package io.gantry.checkpoint.linux;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.LongSupplier;

/**
 * POSIX message queues ({@code man 7 mq_overview}) in the ipc namespace of the calling thread. Names are without the slash that the C library takes away.
 */
public final class PosixQueue {
  private static final int FSOPEN_CLOEXEC = 1;
  private static final int FSMOUNT_CLOEXEC = 1;
  /** {@code FSCONFIG_CMD_CREATE}, {@code linux/mount.h}. */
  private static final int FSCONFIG_CMD_CREATE = 6;
  /** What the root directory's size grows by with each queue, and how much is no queue's ({@code DIRENT_SIZE}, {@code ipc/mqueue.c}). */
  private static final int DIRECTORY_ENTRY_BYTES = 20;

  private static final int EMPTY_DIRECTORY_BYTES = 2 * DIRECTORY_ENTRY_BYTES;
  /** {@code struct mq_attr}: flags, maxmsg, msgsize, curmsgs, and four more; eight bytes each. */
  private static final int ATTRIBUTES_BYTES = 64;

  private static final int TEXT_BYTES_MAX = 200;
  private static final int RLIMIT_MSGQUEUE = 12;
  private static final String LIMITS = "/proc/sys/fs/mqueue/";

  private PosixQueue() {}

  /**
   * What a queue is made with, and how many messages it has.
   *
   * @param messagesMax {@code mq_maxmsg}
   * @param messageBytesMax {@code mq_msgsize}
   * @param messages {@code mq_curmsgs}
   */
  public record Attributes(long messagesMax, long messageBytesMax, long messages) {}

  /**
   * Who is told of the next message in an empty queue.
   *
   * @param how {@code SIGEV_*}
   * @param signal 0 when it is none
   * @param pid as this process counts; 0 when nobody is told
   */
  public record Notification(int how, int signal, int pid) {
    public static final int SIGNAL = 0;
    public static final int NONE = 1;
    public static final int THREAD = 2;

    private static final int SIGKILL = 9;
    private static final int SIGCONT = 18;
    private static final int SIGTTOU = 22;

    /** Whether the signal ends, stops or continues a process as soon as it is sent, so that sending it cannot be taken back. */
    public boolean actsAtOnce() {
      return pid != 0 && how == SIGNAL && (signal == SIGKILL || signal >= SIGCONT && signal <= SIGTTOU);
    }
  }

  /** Mounts the namespace's queues where nobody sees it; belongs to the caller. Empty when this kernel has none. */
  public static OptionalInt mount() {
    long context;
    try (var arena = Arena.ofConfined()) {
      context = Libc.syscall(SyscallNumber.FSOPEN, arena.allocateFrom("mqueue").address(), FSOPEN_CLOEXEC, 0);
    }
    if (context == -Errno.ENODEV) {
      return OptionalInt.empty();
    }
    int fd = (int) Libc.check(context, () -> "fsopen(mqueue)");
    try {
      Libc.check(Libc.syscall(SyscallNumber.FSCONFIG, fd, FSCONFIG_CMD_CREATE, 0), () -> "fsconfig(mqueue)");
      return OptionalInt.of((int) Libc.check(Libc.syscall(SyscallNumber.FSMOUNT, fd, FSMOUNT_CLOEXEC, 0), () -> "fsmount(mqueue)"));
    } finally {
      Fd.close(fd);
    }
  }

  /** The names of all queues; cheap when there are none. */
  public static List<String> names(int mount) {
    if (FileStatus.of(mount).size() <= EMPTY_DIRECTORY_BYTES) {
      return List.of();
    }
    try (var entries = Files.list(Path.of("/proc/self/fd/" + mount))) {
      var names = new ArrayList<String>();
      entries.forEach(entry -> names.add(entry.getFileName().toString()));
      return names;
    } catch (IOException e) {
      throw new UncheckedIOException("listing message queues", e);
    }
  }

  /** Opens what a path leads to, a queue, for both directions, so that no call waits. */
  public static int open(String path) {
    return Fd.open(path, Fd.O_RDWR | Fd.O_NONBLOCK | Fd.O_CLOEXEC, 0);
  }

  /** {@code mq_getattr(3)}. */
  public static Attributes attributes(int queue) {
    var at = Scratch.get();
    Libc.check(
        Libc.syscall(SyscallNumber.MQ_GETSETATTR, queue, 0, at.address()), () -> "mq_getsetattr(descriptor " + queue + ")");
    return new Attributes(at.get(ValueLayout.JAVA_LONG, 8), at.get(ValueLayout.JAVA_LONG, 16), at.get(ValueLayout.JAVA_LONG, 24));
  }

  /** What the file of a queue says, of a descriptor that may read. */
  public static Notification notification(int queue) {
    return parse(new String(Fd.readAt(queue, 0, TEXT_BYTES_MAX), StandardCharsets.US_ASCII));
  }

  /** {@code QSIZE:129 NOTIFY:2 SIGNO:0 NOTIFY_PID:8260}, with blanks between. */
  static Notification parse(String text) {
    int[] found = new int[3];
    for (String word : text.strip().split("\\s+")) {
      int colon = word.indexOf(':');
      switch (colon < 0 ? word : word.substring(0, colon)) {
        case "NOTIFY" -> found[0] = Integer.parseInt(word.substring(colon + 1));
        case "SIGNO" -> found[1] = Integer.parseInt(word.substring(colon + 1));
        case "NOTIFY_PID" -> found[2] = Integer.parseInt(word.substring(colon + 1));
        default -> {}
      }
    }
    return new Notification(found[0], found[1], found[2]);
  }

  /**
   * Makes a queue and opens it, so that no call waits; the descriptor belongs to the caller. It counts for the owner's {@code RLIMIT_MSGQUEUE}, whatever
   * that of this process is.
   *
   * @param owner the root of the user namespace to which the namespace belongs
   */
  public static int create(String name, int uid, int gid, int mode, Attributes attributes, AsUser owner) {
    LongSupplier making = () -> owner.call(() -> tryCreate(name, attributes));
    long made = asUser(uid, making);
    if (made == -Errno.EMFILE) {
      made = withoutLimit(() -> asUser(uid, making));
    }
    int queue = (int) Libc.check(made, () -> "mq_open(\"/" + name + "\", " + attributes + ")");
    Libc.check(Libc.syscall(SyscallNumber.FCHOWN, queue, uid, gid), () -> "fchown(message queue /" + name + ")");
    Libc.check(Libc.syscall(SyscallNumber.FCHMOD, queue, mode & 07777, 0), () -> "fchmod(message queue /" + name + ")");
    return queue;
  }

  private static long tryCreate(String name, Attributes attributes) {
    try (var arena = Arena.ofConfined()) {
      var wanted = arena.allocate(ATTRIBUTES_BYTES, 8);
      wanted.set(ValueLayout.JAVA_LONG, 8, attributes.messagesMax());
      wanted.set(ValueLayout.JAVA_LONG, 16, attributes.messageBytesMax());
      int flags = Fd.O_CREAT | Fd.O_EXCL | Fd.O_RDWR | Fd.O_NONBLOCK;
      return Libc.syscall(SyscallNumber.MQ_OPEN, arena.allocateFrom(name).address(), flags, 0600, wanted.address(), 0, 0);
    }
  }

  /** The real user of whoever makes a queue pays for it. It belongs to this thread alone, and rights go by the effective one. */
  private static long asUser(int uid, LongSupplier work) {
    if (uid == 0) {
      return work.getAsLong();
    }
    Libc.check(Libc.syscall(SyscallNumber.SETRESUID, uid, -1, -1), () -> "setresuid");
    try {
      return work.getAsLong();
    } finally {
      Libc.check(Libc.syscall(SyscallNumber.SETRESUID, 0, -1, -1), () -> "setresuid back");
    }
  }

  /** The limit belongs to this whole process, so it is lifted for this call only. */
  private static long withoutLimit(LongSupplier work) {
    try (var arena = Arena.ofConfined()) {
      var infinite = arena.allocateFrom(ValueLayout.JAVA_LONG, -1L, -1L);
      var before = arena.allocate(16, 8);
      limit(infinite, before.address());
      try {
        return work.getAsLong();
      } finally {
        limit(before, 0);
      }
    }
  }

  private static void limit(MemorySegment wanted, long before) {
    Libc.check(
        Libc.syscall(SyscallNumber.PRLIMIT64, 0, RLIMIT_MSGQUEUE, wanted.address(), before, 0, 0), () -> "prlimit(RLIMIT_MSGQUEUE)");
  }

  /** {@code mq_unlink(3)}. */
  public static void unlink(String name) {
    try (var arena = Arena.ofConfined()) {
      Libc.check(
          Libc.syscall(SyscallNumber.MQ_UNLINK, arena.allocateFrom(name).address(), 0, 0), () -> "mq_unlink(\"/" + name + "\")");
    }
  }

  /** {@code mq_send(3)}. */
  public static void send(int queue, byte[] content, int priority) {
    try (var arena = Arena.ofConfined()) {
      var message = arena.allocate(Math.max(1, content.length));
      MemorySegment.copy(content, 0, message, ValueLayout.JAVA_BYTE, 0, content.length);
      Libc.check(
          Libc.syscall(SyscallNumber.MQ_TIMEDSEND, queue, message.address(), content.length, priority, 0, 0),
          () -> "mq_timedsend(descriptor " + queue + ", " + content.length + " bytes, priority " + priority + ")");
    }
  }

  /** A limit of the namespace, a file of {@code /proc/sys/fs/mqueue}; 0 when this kernel has none. */
  public static int limit(String name) {
    return Fd.readIfThere(LIMITS + name).map(text -> Integer.parseInt(new String(text, StandardCharsets.US_ASCII).strip())).orElse(0);
  }

  /** Changes a limit of the namespace. */
  public static void setLimit(String name, int value) {
    SystemV.writeLimit(LIMITS + name, Integer.toString(value));
  }
}
