package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;

/** {@code fanotify(7)} on our copy of another process's group. Needs {@code CAP_SYS_ADMIN}. Constants: {@code linux/fanotify.h}. Any thread. */
public final class Fanotify {
  /** For {@link #mark}. */
  public static final int FAN_MARK_ADD = 0x1;

  public static final int FAN_MARK_DONT_FOLLOW = 0x4;
  public static final int FAN_MARK_MOUNT = 0x10;
  /** The mask is what is ignored. */
  public static final int FAN_MARK_IGNORED_MASK = 0x20;
  public static final int FAN_MARK_IGNORED_SURV_MODIFY = 0x40;
  public static final int FAN_MARK_FILESYSTEM = 0x100;
  public static final int FAN_MARK_EVICTABLE = 0x200;
  /** As {@link #FAN_MARK_IGNORED_MASK}, with flags that count; since 6.0. */
  public static final int FAN_MARK_IGNORE = 0x400;

  /** {@code FAN_CLASS_CONTENT | FAN_CLASS_PRE_CONTENT} of {@code fanotify_init(2)}: the group may be asked for permission. */
  public static final int FAN_CLASS_PERMISSION = 0xc;
  private Fanotify() {}

  /** Adds or extends a mark. */
  public static void mark(int fd, int flags, long mask, String path) {
    try (var arena = Arena.ofConfined()) {
      long result =
          Libc.syscall(
              SyscallNumber.FANOTIFY_MARK, fd, FAN_MARK_ADD | flags, mask, Fd.AT_FDCWD, arena.allocateFrom(path).address(), 0);
      Libc.check(result, () -> "fanotify_mark(\"" + path + "\")");
    }
  }
}
