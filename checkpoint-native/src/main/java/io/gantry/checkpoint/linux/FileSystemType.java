package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;

/** What kind of file system a file lies on: {@code fstatfs(2)}, {@code f_type}. Constants: {@code linux/magic.h}. */
public final class FileSystemType {
  public static final long HUGETLBFS = 0x958458f6L;
  public static final long TMPFS = 0x01021994L;

  /** Of {@code mq_open(3)} queues; {@code MQUEUE_MAGIC}, {@code ipc/mqueue.c}. */
  public static final long MQUEUE = 0x19800202L;

  private FileSystemType() {}

  /** The type of the file system of an open descriptor of this process. */
  public static long of(int fd) {
    var at = Scratch.get();
    Libc.check(Libc.syscall(SyscallNumber.FSTATFS, fd, at.address(), 0), () -> "fstatfs(descriptor " + fd + ")");
    return at.get(ValueLayout.JAVA_LONG, 0);
  }
}
