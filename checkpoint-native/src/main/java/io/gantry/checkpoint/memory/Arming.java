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
    var create = task.newBatch();
    var created = create.attempt("userfaultfd", SyscallNumber.USERFAULTFD, Userfaultfd.CREATE_FLAGS | USER_MODE_ONLY);
    task.run(create);
    long theirs = created.result();
    if (theirs < 0) {
      throw new KernelException(
          "userfaultfd in process " + task.pid() + (theirs == -Errno.EMFILE ? ", which has no free descriptor," : ""), (int) -theirs);
    }
    try {
      int pidfd = Pidfd.open(task.pid());
      try {
        return Userfaultfd.adopt(Pidfd.getfd(pidfd, (int) theirs));
      } finally {
        Fd.close(pidfd);
      }
    } finally {
      task.call("close of the userfaultfd", SyscallNumber.CLOSE, theirs);
    }
  }
}
