package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Memfd;
import io.gantry.checkpoint.linux.PosixSpawn;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.Wait;
import java.util.List;

/** Starts and ends the process that a stub tree's first process is cloned from: a JVM itself must neither fork nor clone. */
final class Launcher {
  /** What the program's file and the first process are called until they become something else. */
  static final String NAME = "gantry-stub";

  private Launcher() {}

  /** A stopped child of this JVM that is traced by the calling thread and dies with it. */
  static int start() {
    int file = Memfd.create(NAME, Memfd.CLOEXEC);
    int pid;
    try {
      Fd.write(file, StubElf.bytes());
      pid = PosixSpawn.spawn("/proc/self/fd/" + file, List.of(NAME));
    } finally {
      Fd.close(file);
    }
    try {
      Ptrace.seize(pid, Ptrace.OPTION_EXITKILL | SeccompSuspension.OPTION);
      Ptrace.interrupt(pid);
      int status = StopWait.await(pid, System.nanoTime() + StubTask.RUN_MAX_NS);
      if (!Wait.stopped(status)) {
        throw new CheckpointException("the launcher of stubs did not stop (wait status " + status + ")");
      }
      return pid;
    } catch (RuntimeException failed) {
      end(pid);
      throw failed;
    }
  }

  /** Kills and reaps it. */
  static void end(int pid) {
    Signals.kill(pid, Signals.SIGKILL);
    int status = Wait.block(pid);
    while (Wait.stopped(status)) {
      status = Wait.block(pid);
    }
  }
}
