package io.gantry.checkpoint.linux;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Supplier;

/**
 * A thread of this process that has entered another namespace ({@code setns(2)}, needs {@code CAP_SYS_ADMIN}) and works there until it is closed. The
 * namespace lives at least as long. Any thread may call, one at a time.
 */
final class NamespaceThread implements AutoCloseable {
  private final ExecutorService thread;

  private NamespaceThread(ExecutorService thread) {
    this.thread = thread;
  }

  /**
   * Enters a namespace of a process.
   *
   * @param kind for people
   * @param file its name below {@code /proc/PID/ns}
   * @param flag that of {@code clone(2)} ({@code linux/sched.h})
   */
  static NamespaceThread enter(int pid, String kind, String file, int flag) {
    var inside =
        new NamespaceThread(
            Executors.newSingleThreadExecutor(
                work -> Thread.ofPlatform().daemon().name("in the " + kind + " namespace of process " + pid).unstarted(work)));
    try {
      return inside.call(
          () -> {
            setns(pid, kind, file, flag);
            return inside;
          });
    } catch (RuntimeException failed) {
      inside.close();
      throw failed;
    }
  }

  private static void setns(int pid, String kind, String file, int flag) {
    int namespace = Fd.open("/proc/" + pid + "/ns/" + file, Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
    try {
      Libc.check(Libc.syscall(SyscallNumber.SETNS, namespace, flag, 0), () -> "setns(" + kind + " namespace of " + pid + ")");
    } finally {
      Fd.close(namespace);
    }
  }

  /** Has it do something, and waits; what that throws is thrown here. */
  <T> T call(Supplier<T> work) {
    try {
      return CompletableFuture.supplyAsync(work, thread).join();
    } catch (CompletionException e) {
      throw e.getCause() instanceof RuntimeException unchecked ? unchecked : e;
    }
  }

  /** Ends the thread. Idempotent. */
  @Override
  public void close() {
    thread.shutdown();
  }
}
