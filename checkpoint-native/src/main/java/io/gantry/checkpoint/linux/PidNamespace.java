package io.gantry.checkpoint.linux;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Supplier;

/** Translating thread ids between a pid namespace and ours ({@code ioctl_nsfs(2)}, {@code linux/nsfs.h}, 6.11). Any thread. */
public final class PidNamespace implements AutoCloseable {
  private static final long NS_GET_PID_FROM_PIDNS = 0x8004_b706L;
  private static final int CLONE_NEWPID = 0x2000_0000;
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

  /**
   * Does some work on a thread of its own, whose children are born into the namespace; it has to wait for those it makes.
   *
   * @throws KernelException when the namespace cannot be entered (needs {@code CAP_SYS_ADMIN}), and whatever the work throws
   */
  public <T> T callForChildren(Supplier<T> work) {
    var answer = new CompletableFuture<T>();
    Thread.ofPlatform()
        .daemon()
        .name("has children in a pid namespace")
        .start(
            () -> {
              try {
                Libc.check(Libc.syscall(SyscallNumber.SETNS, fd, CLONE_NEWPID, 0), () -> "setns(pid namespace)");
                answer.complete(work.get());
              } catch (RuntimeException | Error thrown) {
                answer.completeExceptionally(thrown);
              }
            });
    try {
      return answer.join();
    } catch (CompletionException e) {
      throw e.getCause() instanceof RuntimeException unchecked ? unchecked : e;
    }
  }

  @Override
  public void close() {
    Fd.close(fd);
  }
}
