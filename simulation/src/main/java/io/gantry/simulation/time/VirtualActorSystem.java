package io.gantry.simulation.time;

import akka.actor.typed.ActorRef;
import akka.actor.typed.ActorSystem;
import akka.actor.typed.Behavior;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/**
 * A real actor system whose dispatchers and timers are the queue of one {@link VirtualTime}: nothing happens in it but by {@link
 * VirtualTime#step}. Actors are spawned in troupes, which are stopped together; a run takes a troupe, so that one system serves
 * many runs and each finds it as the first did. One thread.
 */
public final class VirtualActorSystem implements AutoCloseable {
  private static final String TIME = "gantry.simulation.time";
  private static final AtomicLong LAST = new AtomicLong();
  private static final Map<String, VirtualTime> TIMES = new ConcurrentHashMap<>();

  private static final String DISPATCHER =
      "{ type = Dispatcher, executor = \"" + VirtualDispatcher.class.getName() + "\", throughput = 1, shutdown-timeout = 1h }";

  private final String id;
  private final VirtualTime time = new VirtualTime();
  private final ActorSystem<Order> system;
  private long troupes;

  private sealed interface Order {}

  /** Found a troupe under a leader of that name. */
  private record Found(String name, Consumer<ActorRef<Part>> then) implements Order {}

  private sealed interface Part {}

  private record Call(Consumer<ActorContext<Part>> task) implements Part {}

  private record Stopped(Runnable then) implements Part {}

  private record End() implements Part {}

  /** Actors that are stopped together. */
  public final class Troupe {
    private ActorRef<Part> leader;

    private Troupe() {}

    /** Spawns as soon as virtual time is stepped. Names must be unique in the troupe. */
    public <T> void spawn(Behavior<T> behavior, String name, Consumer<ActorRef<T>> then) {
      leader.tell(new Call(context -> then.accept(context.spawn(behavior, name))));
    }

    /** The same, and {@code stopped} is called when that actor has stopped. */
    public <T> void spawn(Behavior<T> behavior, String name, Consumer<ActorRef<T>> then, Runnable stopped) {
      leader.tell(
          new Call(
              context -> {
                var actor = context.spawn(behavior, name);
                context.watchWith(actor, new Stopped(stopped));
                then.accept(actor);
              }));
    }

    /** Stops all of them, and returns when they have stopped. Time is stepped meanwhile. */
    public void end() {
      leader.tell(new End());
      time.drainNow();
    }
  }

  public VirtualActorSystem() {
    id = "time-" + LAST.incrementAndGet();
    TIMES.put(id, time);
    // Akka waits for its logger before it returns, so that nobody could step the queue meanwhile.
    time.atOnce(true);
    system = ActorSystem.create(root(), "simulation", config(id));
    time.atOnce(false);
    time.drainNow();
  }

  private static Config config(String id) {
    return ConfigFactory.parseString(
            String.join(
                "\n",
                TIME + " = " + id,
                "akka.loglevel = OFF",
                "akka.stdout-loglevel = OFF",
                "akka.loggers = []",
                "akka.use-slf4j = off",
                "akka.log-dead-letters = off",
                "akka.log-dead-letters-during-shutdown = off",
                "akka.jvm-shutdown-hooks = off",
                "akka.daemonic = on",
                "akka.actor.provider = local",
                "akka.actor.allow-java-serialization = off",
                "akka.actor.creation-timeout = 1h",
                "akka.scheduler.implementation = \"" + VirtualScheduler.class.getName() + "\"",
                "akka.coordinated-shutdown.run-by-actor-system-terminate = off",
                "akka.coordinated-shutdown.run-by-jvm-shutdown-hook = off",
                "akka.actor.default-dispatcher = " + DISPATCHER,
                "akka.actor.internal-dispatcher = " + DISPATCHER,
                "gantry.ledger-dispatcher = " + DISPATCHER,
                "gantry.engine-dispatcher = " + DISPATCHER))
        .withFallback(ConfigFactory.load());
  }

  static VirtualTime timeOf(Config config) {
    return TIMES.get(config.getString(TIME));
  }

  private static Behavior<Order> root() {
    return Behaviors.setup(
        context ->
            Behaviors.receiveMessage(
                order -> {
                  switch (order) {
                    case Found(var name, var then) -> then.accept(context.spawn(leader(), name));
                  }
                  return Behaviors.same();
                }));
  }

  private static Behavior<Part> leader() {
    return Behaviors.setup(
        context ->
            Behaviors.receiveMessage(
                part ->
                    switch (part) {
                      case Call(var task) -> {
                        task.accept(context);
                        yield Behaviors.same();
                      }
                      case Stopped(var then) -> {
                        then.run();
                        yield Behaviors.same();
                      }
                      case End() -> Behaviors.stopped();
                    }));
  }

  public VirtualTime time() {
    return time;
  }

  /** For serialization, and for what else needs to know the system that actors live in. */
  public ActorSystem<?> system() {
    return system;
  }

  /** A new troupe, on a queue that begins anew with {@code seed}. */
  public Troupe troupe(long seed) {
    time.drainNow();
    time.restart(seed);
    var troupe = new Troupe();
    system.tell(new Found("troupe-" + ++troupes, leader -> troupe.leader = leader));
    time.drainNow();
    time.restart(seed);
    return troupe;
  }

  @Override
  public void close() {
    system.terminate();
    for (var i = 0; i < 100_000 && time.step(); i++) {}
    TIMES.remove(id);
  }
}
