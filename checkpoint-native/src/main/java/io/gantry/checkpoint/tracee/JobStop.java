package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.Wait;
import java.time.Duration;
import java.util.List;

/** Puts a stub into the stop of job control, in which it stays when it is let go of. Tracer thread only. */
public final class JobStop {
  private static final long STOP_MAX_NS = Duration.ofSeconds(5).toNanos();

  private JobStop() {}

  /**
   * Stops a process. Its registers are those with which it will go on, and it executes nothing.
   *
   * @param tids all of its threads, the main one first, as the host counts; every signal is blocked in them, so that none but the stop is delivered
   */
  public static void stop(List<Integer> tids) {
    int leader = tids.getFirst();
    Signals.kill(leader, Signals.SIGSTOP);
    Ptrace.cont(leader, 0);
    int status = await(leader);
    while (Wait.event(status) != 0 || Wait.stopSignal(status) != Signals.SIGSTOP) {
      // A trap that was still due.
      Ptrace.cont(leader, 0);
      status = await(leader);
    }
    Ptrace.cont(leader, Signals.SIGSTOP);
    awaitGroupStop(leader);
    for (int tid : tids.subList(1, tids.size())) {
      Ptrace.cont(tid, 0);
      awaitGroupStop(tid);
    }
  }

  private static void awaitGroupStop(int tid) {
    int status = await(tid);
    while (Wait.event(status) != Ptrace.EVENT_STOP || Wait.stopSignal(status) != Signals.SIGSTOP) {
      Ptrace.cont(tid, 0);
      status = await(tid);
    }
  }

  private static int await(int tid) {
    int status = StopWait.await(tid, System.nanoTime() + STOP_MAX_NS);
    if (!Wait.stopped(status)) {
      throw new CheckpointException("thread " + tid + " of a stub did not stop as its original had (wait status " + status + ")");
    }
    return status;
  }
}
