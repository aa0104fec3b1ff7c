package io.gantry.checkpoint;

import io.gantry.checkpoint.linux.CallingThread;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;

/**
 * Work on a thread of its own beside that of who started it, who waits for its end in any case: with {@link #result}, or with {@link #close}. The work
 * itself must have a deadline. Used by one thread.
 *
 * @param <T> what comes of it
 */
final class Meanwhile<T> implements AutoCloseable {
  private final FutureTask<T> task;
  private final Thread thread;

  private Meanwhile(String name, Callable<T> work) {
    task = new FutureTask<>(work);
    // A platform thread inherits its maker's nice value, and work in a pause is urgent.
    thread = new CallingThread(name, task);
    thread.start();
  }

  static <T> Meanwhile<T> start(String name, Callable<T> work) {
    return new Meanwhile<>(name, work);
  }

  /**
   * What came of it, once it has ended.
   *
   * @throws RuntimeException what the work has thrown
   */
  T result() {
    boolean interrupted = false;
    try {
      while (true) {
        try {
          return task.get();
        } catch (InterruptedException e) {
          interrupted = true;
        } catch (ExecutionException e) {
          throw switch (e.getCause()) {
            case RuntimeException known -> known;
            case Error error -> throw error;
            default -> new CheckpointException(thread.getName() + ": " + e.getCause().getMessage(), e.getCause());
          };
        }
      }
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  /** Waits for the end, whatever comes of it. */
  @Override
  public void close() {
    if (!task.isDone()) {
      try {
        result();
      } catch (RuntimeException another) {
        // Whoever closes without having asked for the result has failed for a reason of its own.
        return;
      }
    }
  }
}
