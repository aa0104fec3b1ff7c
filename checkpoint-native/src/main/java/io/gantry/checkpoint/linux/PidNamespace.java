package io.gantry.checkpoint.linux;

/** Translating thread ids between a pid namespace and ours ({@code ioctl_nsfs(2)}, {@code linux/nsfs.h}, 6.11). Any thread. */
public final class PidNamespace implements AutoCloseable {
  private static final long NS_GET_PID_FROM_PIDNS = 0x8004_b706L;
  private static final long NS_GET_PID_IN_PIDNS = 0x8004_b708L;

  private final int fd;

  private PidNamespace(int fd) {
    this.fd = fd;
  }

  /** The pid namespace of that process. */
  public static PidNamespace of(int pid) {
    return new PidNamespace(Fd.open("/proc/" + pid + "/ns/pid", Fd.O_RDONLY | Fd.O_CLOEXEC, 0));
  }

  /** Our id of the thread that has {@code tid} in the namespace; minus the error number when there is none ({@code ESRCH}). */
  public int hostTid(int tid) {
    return (int) Fd.ioctl(fd, NS_GET_PID_FROM_PIDNS, tid);
  }

  /** The id that our thread {@code tid} has in the namespace; minus the error number when it has none. */
  public int tidInside(int tid) {
    return (int) Fd.ioctl(fd, NS_GET_PID_IN_PIDNS, tid);
  }

  @Override
  public void close() {
    Fd.close(fd);
  }
}
