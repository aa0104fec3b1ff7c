package io.gantry.simulation;

import akka.actor.typed.ActorRef;
import akka.actor.typed.ActorSystem;
import akka.actor.typed.Behavior;
import akka.actor.typed.DispatcherSelector;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.NodeGuardian;
import io.gantry.actors.NodeSettings;
import io.gantry.actors.World;
import io.gantry.actors.protocol.PeerMessage;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;

/** Nodes with the real actors in one actor system, on stand-ins for everything else. Any thread. */
public final class StandInCluster {
  private final StandInTruth truth = new StandInTruth();
  private final Faults faults = new Faults();
  private final StandInNetwork network;
  private final StandInPageLinks pages;
  private final ActorSystem<?> system;
  private final Spawner spawner;
  private final Map<String, Agent> agents = new ConcurrentHashMap<>();

  private record Agent(ActorRef<NodeGuardian.Message> guardian, ActorRef<NodeCommand> commands, StandInEngine engine,
      StandInLedger ledger) {}

  /** Who starts and stops the nodes' guardians. */
  public interface Spawner {
    <T> ActorRef<T> spawn(Behavior<T> behavior, String name);

    /** Blocks until it has stopped. */
    void stop(ActorRef<?> actor);
  }

  /**
   * @param system in which the nodes run
   * @param wire what messages between nodes go through
   */
  public StandInCluster(ActorSystem<?> system, Spawner spawner, UnaryOperator<PeerMessage> wire) {
    this.system = system;
    this.spawner = spawner;
    this.network = new StandInNetwork(wire);
    this.pages = new StandInPageLinks(network);
  }

  public StandInTruth truth() {
    return truth;
  }

  public Faults faults() {
    return faults;
  }

  public StandInNetwork network() {
    return network;
  }

  /** Starts the agent of a host, or starts it again after {@link #kill}. */
  public void start(String host) {
    var engine = new StandInEngine(truth, host, faults);
    var ledger = new StandInLedger(truth, host, faults);
    var blocking = system.dispatchers().lookup(DispatcherSelector.fromConfig("gantry.engine-dispatcher"));
    var world = new World(engine, pages.of(host), ledger, new StandInDirectories(truth, host), network.links(host), blocking,
        System::nanoTime);
    var settings = NodeSettings.of(host, "127.0.0.1", Path.of("/state", host)).withWatchInterval(Duration.ofMillis(50));
    var commands = new CompletableFuture<ActorRef<NodeCommand>>();
    var guardian =
        spawner.spawn(NodeGuardian.create(settings, world, commands::complete), "node-" + host + "-" + ledger.incarnation());
    agents.put(host, new Agent(guardian, commands.orTimeout(10, TimeUnit.SECONDS).join(), engine, ledger));
  }

  /** The agent of a host dies at once, as by {@code kill -9}. */
  public void kill(String host) {
    var agent = agents.remove(host);
    if (agent != null) {
      network.vanish(host);
      agent.ledger().kill();
      agent.engine().kill();
      pages.kill(host);
      spawner.stop(agent.guardian());
    }
  }

  public ActorRef<NodeCommand> commands(String host) {
    return agents.get(host).commands();
  }

  public StandInEngine engine(String host) {
    return agents.get(host).engine();
  }
}
