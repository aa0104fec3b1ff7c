package io.gantry.checkpoint;

import io.gantry.checkpoint.memory.StubProvider;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.Stub;

/** A stub as memory sees it. Tracer thread only. */
record StubWorkplace(Stub stub) implements StubProvider.Stub {
  @Override
  public int pid() {
    return stub.pid();
  }

  @Override
  public int tid() {
    return stub.tid();
  }

  @Override
  public CallBatch newBatch() {
    return stub.newBatch();
  }

  @Override
  public void run(CallBatch batch) {
    stub.run(batch);
  }

  @Override
  public RemoteTask task() {
    return stub;
  }

  @Override
  public long benchStart() {
    return stub.benchStart();
  }

  @Override
  public long benchBytes() {
    return stub.benchBytes();
  }

  @Override
  public void moveBench(long address) {
    stub.moveBench(address);
  }
}
