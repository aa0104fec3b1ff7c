package io.gantry.checkpoint.tracee;

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

  @Override
  public String toString() {
    return "thread " + nsTid() + " of the stub of process " + stub.nsPid();
  }
}
