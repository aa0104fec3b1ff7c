package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Wait;

/** One more thread of a stub, from {@link Stub#startThreads}. Tracer thread only. */
public final class StubThread extends StubTask {
  private final Stub stub;

  StubThread(Stub stub, int tid, int nsTid) {
    super(tid, nsTid);
    this.stub = stub;
  }

  @Override
  Stub stub() {
    return stub;
  }

  /** Ends this thread alone and waits for that. */
  void exit() {
    var batch = newBatch();
    batch.call("exit", SyscallNumber.EXIT, 0);
    begin(batch);
    Ptrace.cont(tid(), 0);
    int status = StopWait.await(tid(), System.nanoTime() + RUN_MAX_NS);
    if (status != Wait.GONE && !Wait.ended(status)) {
      throw new CheckpointException(this + " does not end (wait status " + status + ")");
    }
  }

  @Override
  public String toString() {
    return "thread " + nsTid() + " of the stub of process " + stub.nsPid();
  }
}
