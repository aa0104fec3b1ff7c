package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;

/**
 * Who gets a file's signals: {@code F_GETOWN_EX}, {@code F_GETOWNER_UIDS}, {@code F_GETSIG} of {@code fcntl(2)}. Any thread.
 *
 * @param type {@code F_OWNER_TID} 0, {@code F_OWNER_PID} 1, {@code F_OWNER_PGRP} 2 ({@code asm-generic/fcntl.h})
 * @param pid thread, process or group, as this process's pid namespace counts; 0 when none is set
 * @param uid real user who set it
 * @param euid effective user who set it
 * @param signal 0 means {@code SIGIO}
 */
public record FileOwner(int type, int pid, int uid, int euid, int signal) {
  /** Nobody. */
  public static final FileOwner NONE = new FileOwner(0, 0, 0, 0, 0);

  private static final int F_GETOWNER_UIDS = 17;

  /** The owner of an open file of this process; {@link #NONE} for descriptors that were opened with {@code O_PATH}. */
  public static FileOwner of(int fd) {
    var at = Scratch.get();
    long result = Fd.fcntl(fd, Fd.F_GETOWN_EX, at.address());
    if (result == -Errno.EBADF) {
      return NONE;
    }
    Libc.check(result, () -> "fcntl(descriptor " + fd + ", F_GETOWN_EX)");
    int type = at.get(ValueLayout.JAVA_INT, 0);
    int pid = at.get(ValueLayout.JAVA_INT, 4);
    int signal = (int) Libc.check(Fd.fcntl(fd, Fd.F_GETSIG, 0), () -> "fcntl(descriptor " + fd + ", F_GETSIG)");
    if (pid == 0) {
      return signal == 0 ? NONE : new FileOwner(0, 0, 0, 0, signal);
    }
    // Only with CONFIG_CHECKPOINT_RESTORE; the engine requires that.
    Libc.check(Fd.fcntl(fd, F_GETOWNER_UIDS, at.address()), () -> "fcntl(descriptor " + fd + ", F_GETOWNER_UIDS)");
    return new FileOwner(type, pid, at.get(ValueLayout.JAVA_INT, 0), at.get(ValueLayout.JAVA_INT, 4), signal);
  }
}
