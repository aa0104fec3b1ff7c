package io.gantry.checkpoint.state;

import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.tracee.RemoteTask;

/** What a parent knows of a child that job control has stopped: {@code waitid(2)} tells it once. */
final class JobReports {
  /** {@code linux/wait.h}. */
  private static final int P_PID = 1;

  private static final int WNOHANG = 1;
  private static final int WSTOPPED = 2;
  private static final int WNOWAIT = 0x0100_0000;
  private static final int ALL_CHILDREN = 0x4000_0000;

  private static final int SIGINFO_BYTES = 128;
  private static final int SIGINFO_PID_AT = 16;
  private static final int SIGSET_BYTES = 8;

  private JobReports() {}

  /** Whether there is no report that the parent could still get. */
  static boolean isTold(RemoteTask parent, int child) {
    var batch = parent.newBatch();
    long info = batch.reserve(SIGINFO_BYTES);
    batch.call("waitid(" + child + ")", SyscallNumber.WAITID, P_PID, child, info, WSTOPPED | WNOHANG | WNOWAIT | ALL_CHILDREN, 0);
    parent.run(batch);
    return ThreadStateCapture.littleEndian(batch.read(info, SIGINFO_BYTES)).getInt(SIGINFO_PID_AT) == 0;
  }

  static process_state markTold(process_state child) {
    var marked = child.toBuilder();
    marked.getThreadsBuilder(0).getTcBuilder().setStopReported(true);
    return marked.build();
  }

  /**
   * Takes the report, and the signal that came with it.
   *
   * @param signalWaits whether a SIGCHLD was pending in the original as well; it stands for both
   */
  static void tell(RemoteTask parent, int child, boolean signalWaits) {
    var batch = parent.newBatch();
    batch.call("waitid(" + child + ")", SyscallNumber.WAITID, P_PID, child, batch.reserve(SIGINFO_BYTES), WSTOPPED | WNOHANG | ALL_CHILDREN, 0);
    if (!signalWaits) {
      var set = new byte[SIGSET_BYTES];
      int bit = Signals.SIGCHLD - 1;
      set[bit / 8] = (byte) (1 << bit % 8);
      batch.attempt("rt_sigtimedwait", SyscallNumber.RT_SIGTIMEDWAIT, batch.bytes(set), 0, batch.reserve(16), SIGSET_BYTES);
    }
    parent.run(batch);
  }
}
