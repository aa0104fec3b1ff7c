package io.gantry.simulation.time;

import akka.actor.AbstractScheduler;
import akka.actor.Cancellable;
import akka.event.LoggingAdapter;
import com.typesafe.config.Config;
import java.util.concurrent.ThreadFactory;
import scala.concurrent.ExecutionContext;
import scala.concurrent.duration.FiniteDuration;

/** Akka's timers on a {@link VirtualTime}. Akka makes it from the configuration. */
public final class VirtualScheduler extends AbstractScheduler {
  private final VirtualTime time;

  /** Called by Akka. */
  public VirtualScheduler(Config config, LoggingAdapter log, ThreadFactory threadFactory) {
    this.time = VirtualActorSystem.timeOf(config);
  }

  @Override
  public Cancellable scheduleOnce(FiniteDuration delay, Runnable runnable, ExecutionContext executor) {
    // On the queue's own thread at once: what Akka schedules only sends a message.
    return new Once(time, time.after(delay.toNanos(), runnable));
  }

  @Override
  @Deprecated // by Akka, which leaves it abstract
  public Cancellable schedule(
      FiniteDuration initialDelay, FiniteDuration interval, Runnable runnable, ExecutionContext executor) {
    var repeated = new Repeated(time, interval.toNanos(), runnable);
    repeated.next(initialDelay.toNanos());
    return repeated;
  }

  @Override
  public double maxFrequency() {
    return 1e9;
  }

  private record Once(VirtualTime time, VirtualTime.Due due) implements Cancellable {
    @Override
    public boolean cancel() {
      return time.cancel(due);
    }

    @Override
    public boolean isCancelled() {
      return !due.isPending();
    }
  }

  private static final class Repeated implements Cancellable, Runnable {
    private final VirtualTime time;
    private final long intervalNs;
    private final Runnable task;
    private VirtualTime.Due due;
    private boolean isCancelled;

    Repeated(VirtualTime time, long intervalNs, Runnable task) {
      this.time = time;
      this.intervalNs = intervalNs;
      this.task = task;
    }

    void next(long delayNs) {
      due = time.after(delayNs, this);
    }

    @Override
    public void run() {
      task.run();
      if (!isCancelled) {
        next(intervalNs);
      }
    }

    @Override
    public boolean cancel() {
      if (isCancelled) {
        return false;
      }
      isCancelled = true;
      time.cancel(due);
      return true;
    }

    @Override
    public boolean isCancelled() {
      return isCancelled;
    }
  }
}
