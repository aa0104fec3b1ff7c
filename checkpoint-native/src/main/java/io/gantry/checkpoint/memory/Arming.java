package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Pidfd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Userfaultfd;
import io.gantry.checkpoint.tracee.RemoteTask;

/** Makes a process create a userfaultfd for its own address space and takes it away from it. On the tracer thread. */
final class Arming {
  /** {@code UFFD_USER_MODE_ONLY}: what a process without privilege may create. Faults are never delivered anyway. */
  private static final int USER_MODE_ONLY = 1;

  private Arming() {}

  static Userfaultfd arm(RemoteTask task) {
    var batch = task.newBatch();
    var created = batch.attempt("userfaultfd", SyscallNumber.USERFAULTFD, Userfaultfd.CREATE_FLAGS | USER_MODE_ONLY);
    var taken = new int[] {-1};
    batch.meanwhile(
        "taking the userfaultfd",
        () -> {
          if (created.result() >= 0) {
            taken[0] = take(task.pid(), (int) created.result());
          }
        });
    // Without a descriptor this closes number minus something, which harms nothing.
    batch.attempt("close of the userfaultfd", SyscallNumber.CLOSE, 0).link(0, created);
    task.run(batch);
    if (created.result() < 0) {
      throw new KernelException(
          "userfaultfd in process " + task.pid() + (created.result() == -Errno.EMFILE ? ", which has no free descriptor," : ""),
          (int) -created.result());
    }
    return Userfaultfd.adopt(taken[0]);
  }

  private static int take(int pid, int descriptor) {
    int pidfd = Pidfd.open(pid, Pidfd.THREAD);
    try {
      return Pidfd.getfd(pidfd, descriptor);
    } finally {
      Fd.close(pidfd);
    }
  }
}
