package io.gantry.checkpoint.linux;

import java.util.function.Supplier;

/**
 * A thread of this process that has entered another network namespace ({@code setns(2)}, needs {@code CAP_SYS_ADMIN}) and works
 * there until it is closed. A socket
 * belongs to the namespace in which it was made, so one that is made here can be used by anybody. Any thread may call, one at a
 * time.
 */
public final class NetworkThread implements AutoCloseable {
  private static final int CLONE_NEWNET = 0x4000_0000;

  private final NamespaceThread thread;

  private NetworkThread(NamespaceThread thread) {
    this.thread = thread;
  }

  /** Whether a process is in another network namespace than this one; false for one that has ended. */
  public static boolean isElsewhere(int pid) {
    var there = FileStatus.of("/proc/" + pid + "/ns/net");
    return there.isPresent() && there.get().inode() != FileStatus.of("/proc/self/ns/net").orElseThrow().inode();
  }

  /** Enters the network namespace of a process. */
  public static NetworkThread enter(int pid) {
    return new NetworkThread(NamespaceThread.enter(pid, "network", "net", CLONE_NEWNET));
  }

  /** Does something once in the network namespace of a process, on this thread when that is its own. */
  public static <T> T where(int pid, Supplier<T> work) {
    return isElsewhere(pid) ? in(pid, work) : work.get();
  }

  /** Does something once in the network namespace of a process. */
  public static <T> T in(int pid, Supplier<T> work) {
    try (var inside = enter(pid)) {
      return inside.call(work);
    }
  }

  /** Has it do something, and waits; what that throws is thrown here. */
  public <T> T call(Supplier<T> work) {
    return thread.call(work);
  }

  /** Ends the thread. Idempotent. */
  @Override
  public void close() {
    thread.close();
  }
}
