package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.Together;

/** A sequence of system calls of any length in a stub, run in as few batches as it takes. On the tracer thread. */
final class StubCalls {
  private final RemoteTask task;
  private CallBatch batch;

  StubCalls(RemoteTask task) {
    this.task = task;
    this.batch = task.newBatch();
  }

  /** Adds a call that must succeed. */
  void add(String what, int number, long... arguments) {
    room(1, 0).call(what, number, arguments);
  }

  /** Adds a call that may fail. */
  void attempt(String what, int number, long... arguments) {
    room(1, 0).attempt(what, number, arguments);
  }

  /** A batch with room for calls that belong together. */
  CallBatch room(int calls, int bytes) {
    if (!batch.fits(calls, bytes)) {
      run();
    }
    return batch;
  }

  /** Runs what is left together with what others do; nothing is added afterwards. */
  void run(Together together) {
    together.add(task, batch);
  }

  void run() {
    if (batch.size() > 0) {
      task.run(batch);
      batch = task.newBatch();
    }
  }
}
