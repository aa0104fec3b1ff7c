package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.file_lock_entry;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.tracee.CallBatch;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * One line about a lock in {@code fdinfo} or {@code /proc/locks} ({@code man 5 proc_locks}, {@code fs/locks.c} {@code lock_get_status}).
 *
 * @param flag {@link #POSIX}, {@link #FLOCK}, {@link #LEASE} or {@link #OPEN_FILE}
 * @param breaking a lease that somebody has asked to be given up
 * @param type {@link #READ} or {@link #WRITE}
 * @param pid the owner as we count it; -1 for locks of open files, 0 for processes we cannot see
 * @param file device and inode as text
 * @param start first byte
 * @param length in bytes; 0: to the end
 */
record FileLock(int flag, boolean breaking, int type, int pid, String file, long start, long length) {
  /** {@code FL_POSIX}, {@code FL_FLOCK}, {@code FL_LEASE}, {@code FL_OFDLCK} of {@code linux/filelock.h}. */
  static final int POSIX = 1;

  static final int FLOCK = 2;
  static final int LEASE = 32;
  static final int OPEN_FILE = 1024;

  /** {@code F_RDLCK}, {@code F_WRLCK}, {@code F_UNLCK} of {@code asm-generic/fcntl.h}. */
  static final int READ = 0;

  static final int WRITE = 1;
  static final int NONE = 2;

  private static final int F_SETLK = 6;
  private static final int F_OFD_SETLK = 37;
  private static final int F_SETLEASE = 1024;

  /** {@code LOCK_SH}, {@code LOCK_EX}, {@code LOCK_UN} and {@code LOCK_NB} of {@code flock(2)}, by type. */
  private static final int[] FLOCK_OPERATIONS = {1, 2, 8};

  private static final int FLOCK_AT_ONCE = 4;
  /** {@code struct flock}: type, whence, start, length, pid. */
  static final int FLOCK_BYTES = 32;

  /** Parses the words behind the number, such as {@code POSIX ADVISORY WRITE 1234 fe:00:2146708 10 29}. */
  static FileLock parse(String line) {
    var words = line.substring(line.indexOf(':') + 1).replace("->", "").strip().split("\\s+");
    int flag =
        switch (words[0]) {
          case "FLOCK" -> FLOCK;
          case "OFDLCK" -> OPEN_FILE;
          case "POSIX", "ACCESS" -> POSIX;
          default -> LEASE;
        };
    long start = Long.parseLong(words[5]);
    long length = words[6].equals("EOF") ? 0 : Long.parseLong(words[6]) + 1 - start;
    int type = words[2].equals("WRITE") ? WRITE : words[2].equals("READ") ? READ : NONE;
    return new FileLock(flag, words[1].equals("BREAKING"), type, Integer.parseInt(words[3]), words[4], start, length);
  }

  file_lock_entry toEntry(int pid, int fd) {
    return file_lock_entry.newBuilder().setFlag(flag).setType(type).setPid(pid).setFd(fd).setStart(start).setLen(length).build();
  }

  /** What a person calls it. */
  static String name(int flag) {
    return switch (flag) {
      case POSIX -> "file lock (POSIX)";
      case FLOCK -> "file lock (flock)";
      case LEASE -> "file lease";
      default -> "file lock (open file description)";
    };
  }

  /** Adds the call that takes it, without waiting, in the process that has {@code fd}; or gives it up with type {@link #NONE}. */
  static CallBatch.Call add(CallBatch batch, file_lock_entry lock, int fd, int type) {
    String what = name(lock.getFlag());
    return switch (lock.getFlag()) {
      case FLOCK -> batch.attempt(what, SyscallNumber.FLOCK, fd, flockOperation(type));
      case LEASE -> batch.attempt(what, SyscallNumber.FCNTL, fd, F_SETLEASE, type);
      default -> batch.attempt(what, SyscallNumber.FCNTL, fd, command(lock), batch.bytes(range(lock, type)));
    };
  }

  static int command(file_lock_entry lock) {
    return lock.getFlag() == POSIX ? F_SETLK : F_OFD_SETLK;
  }

  static int flockOperation(int type) {
    return FLOCK_OPERATIONS[type] | FLOCK_AT_ONCE;
  }

  /** {@code struct flock}. */
  static byte[] range(file_lock_entry lock, int type) {
    return ByteBuffer.allocate(FLOCK_BYTES)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putShort((short) type)
        .putLong(8, lock.getStart())
        .putLong(16, lock.getLen())
        .array();
  }

  /** For sentences. */
  static String describe(file_lock_entry lock) {
    String range = lock.getStart() == 0 && lock.getLen() == 0 ? "" : " on " + (lock.getLen() == 0 ? "all" : lock.getLen()) + " bytes from "
        + lock.getStart();
    return "%s %s%s".formatted(lock.getType() == READ ? "a shared" : "an exclusive", name(lock.getFlag()), range);
  }
}
