package io.gantry.checkpoint.tracee;

import java.util.ArrayDeque;
import java.util.Queue;

/**
 * Runs batches of several tasks at the same time: while one is on its way the tracer prepares the next, and a task that waits for a processor does
 * not hold up the others. What belongs to a captured program runs one after the other, and so does a batch that the tracer has a part in.
 * Tracer thread only.
 */
public final class Together {
  /** Enough that nobody waits for the tracer on a host of many processors, and few enough that it soon sees how they ended. */
  public static final int USUALLY = 16;

  private record Turn(StubTask task, CallBatch batch) {}

  private final Queue<Turn> running = new ArrayDeque<>();
  private final int most;
  private RuntimeException failed;

  /** @param most how many may be on their way at once, at least 1; with lanes of one stub, their number */
  public Together(int most) {
    this.most = most;
  }

  /**
   * Sets a task going, once fewer than the most are. The batch that was added as many batches ago as may run at once has ended when this one is
   * written, so they may use the same memory.
   *
   * @param task not on its way
   * @throws io.gantry.checkpoint.CheckpointException when one of those before has failed
   */
  public void add(RemoteTask task, CallBatch batch) {
    if (batch.size() == 0) {
      return;
    }
    if (!(task instanceof StubTask stub) || batch.calls().stream().anyMatch(call -> call.meanwhile() != null)) {
      task.run(batch);
      return;
    }
    if (running.size() == most) {
      completeFirst();
    }
    if (failed != null) {
      finish();
    }
    stub.start(batch);
    running.add(new Turn(stub, batch));
  }

  /**
   * Waits for all.
   *
   * @throws io.gantry.checkpoint.CheckpointException when one has failed; the others stand still all the same
   */
  public void finish() {
    while (!running.isEmpty()) {
      completeFirst();
    }
    if (failed != null) {
      throw failed;
    }
  }

  private void completeFirst() {
    var turn = running.remove();
    try {
      turn.task.complete(turn.batch);
    } catch (RuntimeException thrown) {
      if (failed == null) {
        failed = thrown;
      } else {
        failed.addSuppressed(thrown);
      }
    }
  }
}
