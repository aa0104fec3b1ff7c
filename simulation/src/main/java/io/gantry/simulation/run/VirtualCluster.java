package io.gantry.simulation.run;

import akka.actor.typed.ActorRef;
import akka.actor.typed.javadsl.Behaviors;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.NodeGuardian;
import io.gantry.actors.NodeSettings;
import io.gantry.actors.World;
import io.gantry.actors.ledger.FileLedger;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.ledger.LedgerException;
import io.gantry.actors.migration.Rules;
import io.gantry.actors.protocol.CarriedSpec;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.checkpoint.ContainerSpec;
import io.gantry.simulation.host.HostModel;
import io.gantry.simulation.host.Life;
import io.gantry.simulation.host.StandInDirectories;
import io.gantry.simulation.host.StandInEngine;
import io.gantry.simulation.host.Truth;
import io.gantry.simulation.host.VirtualCalls;
import io.gantry.simulation.host.WatchedLedger;
import io.gantry.simulation.network.NetworkModel;
import io.gantry.simulation.network.StandInNetwork;
import io.gantry.simulation.network.StandInPageLinks;
import io.gantry.simulation.time.VirtualActorSystem;
import io.gantry.simulation.time.VirtualTime;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;

/** Nodes with the real actors in one actor system on virtual time, on stand-ins for everything else. One thread. */
public final class VirtualCluster implements AutoCloseable {
  /** How long a node that could not be started, or that has ended by itself, takes to be started again. */
  private static final long RESTART_NS = 1_000_000_000L;

  private final VirtualActorSystem.Troupe troupe;
  private final VirtualTime time;
  private final Setup setup;
  private final Truth truth;
  private final StandInNetwork network;
  private final StandInPageLinks pages;
  private final Map<String, Agent> agents = new LinkedHashMap<>();
  private final Map<String, Integer> lives = new LinkedHashMap<>();
  private final ArrayDeque<Answers> idle = new ArrayDeque<>();
  private int answerers;
  private Consumer<Life> onDeath = _ -> {};

  /**
   * What a cluster is made of.
   *
   * @param seed for the order of what is due at the same time, and for the network
   * @param watcher sees everything that the agents do
   * @param messages sees what happens to messages
   * @param wire what a message goes through on its way
   * @param rules by which the moves of one life of an agent are decided
   * @param settings of each node
   */
  public record Setup(
      long seed,
      HostModel hosts,
      NetworkModel links,
      Life.Watcher watcher,
      StandInNetwork.Listener messages,
      UnaryOperator<PeerMessage> wire,
      Function<Life, Rules> rules,
      UnaryOperator<NodeSettings> settings) {
    /** Undisturbed. */
    public static Setup plain(long seed) {
      return new Setup(
          seed,
          HostModel.USUAL,
          NetworkModel.RACK,
          Life.Watcher.NOBODY,
          StandInNetwork.Listener.NOBODY,
          UnaryOperator.identity(),
          _ -> Rules.PROTOCOL,
          UnaryOperator.identity());
    }

    public Setup withWatcher(Life.Watcher who) {
      return new Setup(seed, hosts, links, who, messages, wire, rules, settings);
    }

    public Setup withMessages(StandInNetwork.Listener who) {
      return new Setup(seed, hosts, links, watcher, who, wire, rules, settings);
    }

    public Setup withWire(UnaryOperator<PeerMessage> through) {
      return new Setup(seed, hosts, links, watcher, messages, through, rules, settings);
    }

    public Setup withRules(Function<Life, Rules> byLife) {
      return new Setup(seed, hosts, links, watcher, messages, wire, byLife, settings);
    }

    public Setup withSettings(UnaryOperator<NodeSettings> change) {
      return new Setup(seed, hosts, links, watcher, messages, wire, rules, change);
    }

    public Setup withModels(HostModel host, NetworkModel link) {
      return new Setup(seed, host, link, watcher, messages, wire, rules, settings);
    }
  }

  /** One life of a node. */
  private static final class Agent {
    final Life life;
    final StandInEngine engine;
    final WatchedLedger ledger;
    ActorRef<NodeCommand> commands;
    long clockNs;

    Agent(Life life, StandInEngine engine, WatchedLedger ledger) {
      this.life = life;
      this.engine = engine;
      this.ledger = ledger;
    }
  }

  /** An actor that takes one answer at a time. */
  private static final class Answers {
    ActorRef<Object> actor;
    Consumer<Object> waiting = _ -> {};
  }

  /** @param actors serves one cluster at a time */
  public VirtualCluster(VirtualActorSystem actors, Setup setup) {
    this.troupe = actors.troupe(setup.seed());
    this.time = actors.time();
    this.setup = setup;
    this.truth = new Truth(time::nowNs);
    this.network =
        new StandInNetwork(
            time, setup.links(), new SplittableRandom(setup.seed() ^ 0x5DEECE66DL), setup.messages(), setup.wire());
    this.pages = new StandInPageLinks(network);
  }

  public VirtualTime time() {
    return time;
  }

  public Truth truth() {
    return truth;
  }

  public StandInNetwork network() {
    return network;
  }

  public StandInPageLinks pages() {
    return pages;
  }

  /** Who learns that an agent has died. */
  void onDeath(Consumer<Life> who) {
    onDeath = who;
  }

  // ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Starts the agent of a host, or starts it again after its death. When it cannot be started, it is tried again later. */
  public void start(String host) {
    if (agents.containsKey(host)) {
      return;
    }
    var life = new Life(host, setup.watcher());
    var number = lives.merge(host, 1, Integer::sum);
    Agent agent;
    try {
      agent = openLedger(life);
    } catch (LedgerException _) {
      life.end();
      time.after(RESTART_NS, () -> start(host));
      return;
    }
    agents.put(host, agent);
    var calls = new VirtualCalls(time, life, setup.hosts().callNs());
    var world =
        new World(
            agent.engine,
            pages.of(life, calls),
            agent.ledger,
            new StandInDirectories(truth, life),
            network.links(life),
            calls,
            new VirtualCalls(time, life, 0),
            () -> time.nowNs() + agent.clockNs,
            setup.rules().apply(life));
    var settings = setup.settings().apply(NodeSettings.of(host, "127.0.0.1", Path.of("/state", host)));
    troupe.spawn(
        NodeGuardian.create(settings, world, commands -> agent.commands = commands),
        host + "-" + number,
        _ -> {},
        () -> {
          if (!life.isDead()) {
            // As GantryNodeSystem does: the ledger is read again.
            kill(host);
            time.after(RESTART_NS, () -> start(host));
          }
        });
  }

  /** Containers that an earlier life of a host's agent has left there running. Before {@link #start}. */
  public void leave(String host, List<String> containers) {
    var life = new Life(host, Life.Watcher.NOBODY);
    var there = truth.host(host);
    var spec = new CarriedSpec(List.of("/bin/true"), Map.of(), "/");
    var engine = new StandInEngine(truth, life, setup.hosts(), _ -> true);
    var directories = new StandInDirectories(truth, life);
    try (var ledger =
        new WatchedLedger(
            truth, life, FileLedger.open(there.disk().storage(life, 0), () -> "%016x".formatted(ledgerId(host))))) {
      for (var container : containers) {
        var directory = directories.create(container);
        var handle = engine.create(new ContainerSpec(container, spec.command(), Map.of(), Path.of("/"), directory));
        ledger.append(LedgerEntry.born(container, 1, handle, spec));
      }
    }
  }

  private Agent openLedger(Life life) {
    var host = truth.host(life.host());
    var real = FileLedger.open(host.disk().storage(life, setup.hosts().syncNs()), () -> "%016x".formatted(ledgerId(life.host())));
    var ledger = new WatchedLedger(truth, life, real);
    for (var entry : real.entries()) {
      truth.known(host, entry.container(), entry.status() == LedgerEntry.Status.OWNED);
    }
    return new Agent(life, new StandInEngine(truth, life, setup.hosts(), ledger::names), ledger);
  }

  private static long ledgerId(String host) {
    return host.hashCode() * 0x9E3779B97F4A7C15L >>> 1;
  }

  /** The agent of a host dies at once, as by {@code kill -9}. */
  public void kill(String host) {
    var agent = agents.remove(host);
    if (agent == null) {
      return;
    }
    agent.life.end();
    network.vanish(host);
    truth.agentDied(truth.host(host));
    // Its actors are left alone until the run is over: nothing that they still do reaches anybody, and Akka lets go of what an
    // actor
    // has watched in an order that differs from run to run.
    onDeath.accept(agent.life);
  }

  /** The host is switched off: agent, containers, and what was not on its disk are gone. */
  public void switchOff(String host, SplittableRandom chance) {
    var owned =
        ledger(host).stream()
            .filter(entry -> entry.status() == LedgerEntry.Status.OWNED)
            .map(LedgerEntry::container)
            .collect(Collectors.toSet());
    truth.switchedOff(truth.host(host), owned);
    kill(host);
    truth.host(host).disk().switchedOff(chance);
  }

  /** Whether its agent lives and takes commands. */
  public boolean isUp(String host) {
    var agent = agents.get(host);
    return agent != null && agent.commands != null;
  }

  /** The present life of its agent. */
  public Optional<Life> life(String host) {
    return Optional.ofNullable(agents.get(host)).map(agent -> agent.life);
  }

  public StandInEngine engine(String host) {
    return agents.get(host).engine;
  }

  /** What the ledger of a host says, as its agent knows it; nothing while there is none. */
  public List<LedgerEntry> ledger(String host) {
    var agent = agents.get(host);
    return agent == null ? List.of() : agent.ledger.entries();
  }

  /** The monotonic clock of the host's agent jumps. */
  public void jumpClock(String host, long byNs) {
    var agent = agents.get(host);
    if (agent != null) {
      agent.clockNs += byNs;
    }
  }

  // ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Asks a node that is up.
   *
   * @param answered is given each answer; an agent that dies gives none
   */
  public <T> void ask(String host, Function<ActorRef<T>, NodeCommand> command, Consumer<T> answered) {
    var agent = agents.get(host);
    withAnswers(
        answers -> {
          answers.waiting =
              answer -> {
                if (!agent.life.isDead()) {
                  answers.waiting = _ -> {};
                  idle.add(answers);
                  @SuppressWarnings("unchecked") // what the command says that it is answered with
                  var typed = (T) answer;
                  answered.accept(typed);
                }
              };
          agent.commands.tell(command.apply(answers.actor.unsafeUpcast()));
        });
  }

  private void withAnswers(Consumer<Answers> then) {
    var free = idle.poll();
    if (free != null) {
      then.accept(free);
      return;
    }
    var fresh = new Answers();
    troupe.spawn(
        Behaviors.<Object>receiveMessage(
            answer -> {
              fresh.waiting.accept(answer);
              return Behaviors.same();
            }),
        "answers-" + ++answerers,
        actor -> {
          fresh.actor = actor;
          then.accept(fresh);
        });
  }

  /** Everything ends without a word. */
  @Override
  public void close() {
    for (var agent : agents.values()) {
      agent.life.end();
    }
    agents.clear();
    troupe.end();
  }
}
