package io.gantry.checkpoint.tracee;

import java.util.ArrayDeque;
import java.util.Queue;

/**
 * Runs batches of several tasks at the same time: while one is on its way the tracer prepares the next, and a task that waits for a processor does
 * not hold up the others. A batch that the tracer has a part in runs by itself, when all before have ended. Tasks at the same time are of different processes,
 * or their batches are of different lanes. Tracer thread only.
 */
public final class Together implements AutoCloseable {
  /** Enough that nobody waits for the tracer on a host of many processors, and few enough that it soon sees how they ended. */
  public static final int USUALLY = 16;

  private record Turn(StartedTask task, CallBatch batch) {}

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
    if (!(task instanceof StartedTask started) || batch.calls().stream().anyMatch(call -> call.meanwhile() != null)) {
      finish();
      task.run(batch);
      return;
    }
    if (running.size() == most) {
      completeFirst();
    }
    if (failed != null) {
      finish();
    }
    started.start(batch);
    running.add(new Turn(started, batch));
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

  /** Waits for those that are still on their way, so that nothing runs on by itself, whatever comes of them. For who may fail between {@link #add} and {@link #finish}. */
  @Override
  public void close() {
    while (!running.isEmpty()) {
      completeFirst();
    }
  }
}
