package io.gantry.simulation.time;

import akka.dispatch.DispatcherPrerequisites;
import akka.dispatch.ExecutorServiceConfigurator;
import akka.dispatch.ExecutorServiceFactory;
import com.typesafe.config.Config;
import java.util.List;
import java.util.concurrent.AbstractExecutorService;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;

/** Akka's name for where actors run: here the queue of a {@link VirtualTime}. Akka makes it from the configuration. */
public final class VirtualDispatcher extends ExecutorServiceConfigurator {
  private final VirtualTime time;

  /** Called by Akka. */
  public VirtualDispatcher(Config config, DispatcherPrerequisites prerequisites) {
    super(config, prerequisites);
    this.time = VirtualActorSystem.timeOf(prerequisites.settings().config());
  }

  @Override
  public ExecutorServiceFactory createExecutorServiceFactory(String id, ThreadFactory threadFactory) {
    return () -> new Queued(time);
  }

  /** An executor whose threads are the one that steps the queue. */
  private static final class Queued extends AbstractExecutorService implements ExecutorService {
    private final VirtualTime time;
    private boolean isDown;

    Queued(VirtualTime time) {
      this.time = time;
    }

    @Override
    public void execute(Runnable command) {
        time.execute(command);
    }

    @Override
    public void shutdown() {
      isDown = true;
    }

    @Override
    public List<Runnable> shutdownNow() {
      isDown = true;
      return List.of();
    }

    @Override
    public boolean isShutdown() {
      return isDown;
    }

    @Override
    public boolean isTerminated() {
      return isDown;
    }

    @Override
    public boolean awaitTermination(long timeout, TimeUnit unit) {
      return isDown;
    }
  }
}
