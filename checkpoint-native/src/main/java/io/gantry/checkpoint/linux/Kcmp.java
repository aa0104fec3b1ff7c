package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;

/** {@code kcmp(2)}: whether two processes share a kernel object. Constants: {@code linux/kcmp.h}. Any thread. */
public final class Kcmp {
  private static final int KCMP_FILE = 0;
  private static final int KCMP_FILES = 2;
  private static final int KCMP_FS = 3;
  private static final int KCMP_SYSVSEM = 6;
  private static final int KCMP_EPOLL_TFD = 7;

  private Kcmp() {}

  /** Orders open file descriptions: 0 the same, -1 or 1 a total order that holds as long as both stay open. */
  public static int compareFiles(int pidA, int fdA, int pidB, int fdB) {
    return order(
        Libc.check(
            Libc.syscall(SyscallNumber.KCMP, pidA, pidB, KCMP_FILE, fdA, fdB, 0),
            () -> "kcmp(FILE, process " + pidA + " descriptor " + fdA + ", process " + pidB + " descriptor " + fdB + ")"));
  }

  /** Whether two tasks share one descriptor table ({@code CLONE_FILES}). */
  public static boolean sameDescriptorTable(int tidA, int tidB) {
    return Libc.check(
            Libc.syscall(SyscallNumber.KCMP, tidA, tidB, KCMP_FILES, 0, 0, 0), () -> "kcmp(FILES, " + tidA + ", " + tidB + ")")
        == 0;
  }

  /** Whether two tasks share working directory, root and umask ({@code CLONE_FS}). */
  public static boolean sameFileSystemContext(int tidA, int tidB) {
    return Libc.check(
            Libc.syscall(SyscallNumber.KCMP, tidA, tidB, KCMP_FS, 0, 0, 0), () -> "kcmp(FS, " + tidA + ", " + tidB + ")")
        == 0;
  }

  /** Whether two tasks have one undo list of semaphores ({@code CLONE_SYSVSEM}), or both none. */
  public static boolean sameUndoList(int tidA, int tidB) {
    return Libc.check(
            Libc.syscall(SyscallNumber.KCMP, tidA, tidB, KCMP_SYSVSEM, 0, 0, 0), () -> "kcmp(SYSVSEM, " + tidA + ", " + tidB + ")")
        == 0;
  }

  /**
   * Whether an epoll instance watches this very open file.
   *
   * @param pid whose descriptor {@code fd} is compared
   * @param epollPid who has the epoll instance as descriptor {@code epollFd}
   * @param target the number under which the epoll instance knows the file
   * @param offset how many entries with the same number come before it
   */
  public static boolean isEpollTarget(int pid, int fd, int epollPid, int epollFd, int target, int offset) {
    var slot = Scratch.get();
    slot.set(ValueLayout.JAVA_INT, 0, epollFd);
    slot.set(ValueLayout.JAVA_INT, 4, target);
    slot.set(ValueLayout.JAVA_INT, 8, offset);
    return Libc.check(
            Libc.syscall(SyscallNumber.KCMP, pid, epollPid, KCMP_EPOLL_TFD, fd, slot.address(), 0),
            () -> "kcmp(EPOLL_TFD, process " + pid + " descriptor " + fd + ", process " + epollPid + " epoll " + epollFd + ")")
        == 0;
  }

  private static int order(long answer) {
    // 0 equal, 1 less, 2 greater; 3 (not equal, no order) is never given for files.
    return answer == 0 ? 0 : answer == 1 ? -1 : 1;
  }
}
