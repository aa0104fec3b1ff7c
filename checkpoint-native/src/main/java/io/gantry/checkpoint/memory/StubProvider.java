package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.tracee.RemoteTask;

/** Where the arrival of memory gets its stubs from: stopped processes that hold nothing yet. All calls on the tracer thread. */
public interface StubProvider {
  /** The stub of the container's first process. */
  Stub stub(int nsPid);

  /** Clones a stub from its parent's, whose memory it shares copy-on-write from then on. */
  Stub fork(int parentNsPid, int nsPid);

  /** Memory has no use for a stub any more; it goes now, or when nothing else needs it either. */
  void remove(int nsPid);

  /** A stub as memory sees it: besides what its own kernel mappings are, only the bench must stay mapped while calls run in it. */
  interface Stub extends RemoteTask {
    /** First address of the scratch mapping that the injected code lives in. */
    long benchStart();

    /** Its size in bytes. */
    long benchBytes();

    /** What runs calls there: itself, or what {@code Together} can start and wait for later. */
    default RemoteTask task() {
      return this;
    }

    /** Moves it to an address (a multiple of 4096) where nothing is mapped. */
    void moveBench(long address);
  }
}
