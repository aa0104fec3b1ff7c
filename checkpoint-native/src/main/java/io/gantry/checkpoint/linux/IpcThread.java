package io.gantry.checkpoint.linux;

import java.util.function.Supplier;

/**
 * A thread of this process that has entered another ipc namespace ({@code setns(2)}, needs {@code CAP_SYS_ADMIN}) and works there until it is closed.
 * The namespace lives at least as long. Any thread may call, one at a time.
 */
public final class IpcThread implements AutoCloseable {
  private static final int CLONE_NEWIPC = 0x0800_0000;

  private final NamespaceThread thread;
  private final int tid;

  private IpcThread(NamespaceThread thread) {
    this.thread = thread;
    this.tid = thread.call(() -> (int) Libc.syscall(SyscallNumber.GETTID, 0, 0, 0));
  }

  /** Enters the ipc namespace of a process. */
  public static IpcThread enter(int pid) {
    return new IpcThread(NamespaceThread.enter(pid, "ipc", "ipc", CLONE_NEWIPC));
  }

  /** Its id. It has no undo list of semaphores: entering an ipc namespace gives that up ({@code kernel/nsproxy.c}, {@code exit_sem}). */
  public int tid() {
    return tid;
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
