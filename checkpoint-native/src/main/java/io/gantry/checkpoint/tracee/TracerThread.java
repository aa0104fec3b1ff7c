package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.CallingThread;
import io.gantry.checkpoint.linux.TimerSlack;
import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * The one platform thread that makes every ptrace request of one session. The kernel ties tracees to the thread that seized them:
 * when it ends they run on, or die if they were seized with EXITKILL. So it ends only on {@link #close()}, whatever its work throws.
 *
 * <p>Any thread may call {@link #call}; calls are run one after the other, and a call from the thread itself is run at once.
 */
public final class TracerThread implements AutoCloseable {
  private static final Duration CLOSE_MAX = Duration.ofSeconds(10);

  private final LinkedBlockingQueue<FutureTask<?>> work = new LinkedBlockingQueue<>();
  private final Thread thread;
  private volatile boolean closing;

  /** @param name shows in thread dumps, such as {@code "tracer of demo"} */
  public TracerThread(String name) {
    thread = new CallingThread(name, this::loop);
    thread.start();
  }

  private void loop() {
    // Waiting for a stop means short timed waits; with the default slack each would last 50 µs longer.
    TimerSlack.set(1);
    while (!closing || !work.isEmpty()) {
      try {
        work.take().run();
      } catch (InterruptedException spurious) {
        // Nobody interrupts this thread on purpose, and ending it would let its tracees go.
      }
    }
  }

  /**
   * Runs the task on this thread and waits for it.
   *
   * @throws CheckpointException when it threw one, or when it has not ended after {@code limit} (it goes on, and so do its tracees)
   */
  public <T> T call(Callable<T> task, Duration limit) {
    var future = new FutureTask<>(task);
    if (Thread.currentThread() == thread) {
      future.run();
    } else {
      if (closing) {
        throw new IllegalStateException(thread.getName() + " is closed");
      }
      work.add(future);
    }
    try {
      return future.get(limit.toNanos(), TimeUnit.NANOSECONDS);
    } catch (ExecutionException failed) {
      throw unwrapped(failed.getCause());
    } catch (TimeoutException late) {
      future.cancel(false);
      throw new CheckpointException(thread.getName() + " did not finish within " + limit.toMillis() + " ms", late);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      future.cancel(false);
      throw new CheckpointException("interrupted while waiting for " + thread.getName(), interrupted);
    }
  }

  private RuntimeException unwrapped(Throwable cause) {
    return switch (cause) {
      case CheckpointException sentence -> {
        // The stack of the thread that waits says more than that of the tracer alone.
        sentence.addSuppressed(new CheckpointException("while waiting for " + thread.getName()));
        yield sentence;
      }
      case RuntimeException unchecked -> unchecked;
      case Error error -> throw error;
      default -> new CheckpointException(thread.getName() + " failed: " + cause.getMessage(), cause);
    };
  }

  /** As {@link #call}, without a result. */
  public void run(Runnable task, Duration limit) {
    call(
        () -> {
          task.run();
          return true;
        },
        limit);
  }

  /** Ends the thread after the work that is queued. Idempotent. */
  @Override
  public void close() {
    closing = true;
    work.add(new FutureTask<>(() -> true));
    if (Thread.currentThread() == thread) {
      return;
    }
    try {
      if (!thread.join(CLOSE_MAX)) {
        throw new CheckpointException(thread.getName() + " does not end: its last task is still waiting");
      }
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
