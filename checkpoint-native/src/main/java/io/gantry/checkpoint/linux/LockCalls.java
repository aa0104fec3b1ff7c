package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** {@code flock(2)} and the lock commands of {@code fcntl(2)} on descriptors of this process. Any thread. */
public final class LockCalls {
  private LockCalls() {}

  /** 0 or minus the error number. */
  public static int flock(int fd, int operation) {
    return (int) Libc.syscall(SyscallNumber.FLOCK, fd, operation, 0);
  }

  /**
   * {@code F_SETLK}, {@code F_OFD_SETLK}.
   *
   * @param range a {@code struct flock}
   * @return 0 or minus the error number
   */
  public static int setLock(int fd, int command, byte[] range) {
    var at = Scratch.get();
    MemorySegment.copy(range, 0, at, ValueLayout.JAVA_BYTE, 0, range.length);
    return (int) Fd.fcntl(fd, command, at.address());
  }
}
