package io.gantry.simulation.run;

import io.gantry.actors.migration.Rules;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.simulation.fault.Coverage;
import io.gantry.simulation.fault.Fault;
import io.gantry.simulation.fault.FaultPlan;
import io.gantry.simulation.host.Life;
import io.gantry.simulation.host.StandInHost.State;
import io.gantry.simulation.host.Truth;
import io.gantry.simulation.network.StandInNetwork;
import io.gantry.simulation.run.EventLog.Kind;
import io.gantry.simulation.run.MoveTracker.Move;
import io.gantry.simulation.time.VirtualActorSystem;
import io.gantry.simulation.time.VirtualTime;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.BooleanSupplier;
import java.util.function.Function;

/**
 * One run of one seed: nodes start, users let containers be born and moved, faults strike, then everything is mended, and within
 * a bounded time every container must run in one place with nothing left behind, and be movable. One thread.
 */
public final class SeedRun {
  /** Faults may strike for so long. */
  private static final long FAULTS_NS = 60_000_000_000L;

  /** After the faults have stopped, everything must be in order within so long (I3). */
  static final long ORDER_NS = 180_000_000_000L;

  private final RunSettings settings;
  private final long seed;
  private final SplittableRandom chance;
  private final List<Fault> plan;
  private final EventLog log;
  private final VirtualCluster cluster;
  private final VirtualTime time;
  private final Truth truth;
  private final MoveTracker tracker;
  private final FaultInjector faults;
  private final RunUsers users;
  private final Coverage coverage;
  private final List<String> hosts = new ArrayList<>();
  private long completed;
  private long rolledBack;

  private SeedRun(
      VirtualActorSystem actors, RunSettings settings, long seed, List<Fault> plan, Coverage coverage, boolean isTraced) {
    this.settings = settings;
    this.seed = seed;
    this.plan = plan;
    this.coverage = coverage;
    this.chance = new SplittableRandom(seed * 0x9E3779B97F4A7C15L + 1);
    this.log = new EventLog(isTraced);
    for (var i = 0; i < settings.nodes(); i++) {
      hosts.add(hostName(i));
    }
    var seen = new Seen();
    this.tracker = new MoveTracker(seen);
    var in = 1 + chance.nextInt(4);
    var out = 1 + chance.nextInt(4);
    var movesMaxIn = settings.faults().isEmpty() ? Math.max(4, settings.containers()) : in;
    var movesMaxOut = settings.faults().isEmpty() ? Math.max(4, settings.containers()) : out;
    this.cluster =
        new VirtualCluster(
            actors,
            VirtualCluster.Setup.plain(seed)
                .withModels(settings.hosts(), settings.links())
                .withWatcher(seen)
                .withMessages(seen)
                .withRules(rules(settings.mutation().rules()))
                .withSettings(node -> node.withMovesMax(movesMaxOut, movesMaxIn)));
    this.time = cluster.time();
    this.truth = cluster.truth();
    this.users = new RunUsers(cluster, settings, chance.split(), hosts, log, this::isMoving);
    this.faults = new FaultInjector(cluster, tracker, plan, coverage, log, users);
    truth.listen(seen);
    cluster.onDeath(this::died);
  }

  private Function<Life, Rules> rules(Function<Rules, Rules> mutation) {
    var wrong = mutation.apply(Rules.PROTOCOL);
    return life -> tracker.watch(wrong, life);
  }

  private static String hostName(int index) {
    return index < 26 ? Character.toString('a' + index) : "n" + index;
  }

  /** What goes wrong under a seed. */
  public static List<Fault> plan(RunSettings settings, long seed) {
    return FaultPlan.draw(new SplittableRandom(seed), settings.faults());
  }

  /**
   * Runs a seed.
   *
   * @param plan what goes wrong
   * @param coverage is told what was hit
   * @param isTraced whether the log keeps its words
   */
  public static RunResult run(
      VirtualActorSystem actors, RunSettings settings, long seed, List<Fault> plan, Coverage coverage, boolean isTraced) {
    return new SeedRun(actors, settings, seed, plan, coverage, isTraced).run();
  }

  private RunResult run() {
    try {
      hosts.forEach(cluster::start);
      users.begin();
      stepUntil(FAULTS_NS, users::areDone);
      faults.stop();
      users.stop();
      mend();
      var limitNs = time.nowNs() + ORDER_NS;
      if (!stepUntil(limitNs, this::isInOrder) && !truth.isBroken()) {
        truth.accuse(
            "I3", "within " + ORDER_NS / 1_000_000_000 + " s after the last fault not everything was in order: " + disorder());
      }
      if (!truth.isBroken()) {
        users.prove();
        if (!stepUntil(time.nowNs() + ORDER_NS, () -> users.isProven() && isInOrder()) && !truth.isBroken()) {
          truth.accuse(
              "I3",
              "a container could not be moved or stopped after everything was in order: " + users.unproven() + disorder());
        }
      }
      for (var violation : truth.violations()) {
        log.add(time.nowNs(), Kind.VIOLATION, "", "", violation.toString(), "");
      }
      return new RunResult(
          seed, plan, tracker.begun(), completed, rolledBack, truth.violations(), time.steps(), time.nowNs(), log);
    } finally {
      cluster.close();
    }
  }

  /** @return whether {@code condition} came true */
  private boolean stepUntil(long limitNs, BooleanSupplier condition) {
    while (!truth.isBroken() && time.nextNs() <= limitNs) {
      time.step();
      if (users.isDueToLook() && condition.getAsBoolean()) {
        return true;
      }
    }
    return false;
  }

  private void mend() {
    for (var host : hosts) {
      truth.host(host).disk().mend();
      cluster.start(host);
    }
  }

  private boolean isInOrder() {
    return disorder().isEmpty();
  }

  /** What is not as it should be when nothing goes wrong any more; empty when all is well. */
  private String disorder() {
    for (var host : hosts) {
      if (!cluster.isUp(host)) {
        return "node " + host + " is not up";
      }
      if (cluster.pages().openOn(host) > 0) {
        return "a stream is open on " + host;
      }
    }
    if (!tracker.moves().isEmpty()) {
      var move = tracker.moves().getFirst();
      return "the move " + move.migration + " is in phase " + move.phase + " on " + move.host;
    }
    return users.disorder();
  }

  private boolean isMoving(String container) {
    return tracker.moves().stream().anyMatch(move -> move.container.equals(container));
  }

  private void died(Life life) {
    tracker.died(life);
    users.died(life);
  }

  /** Sees everything, writes it down, and hands it on to who may act on it. */
  private final class Seen implements Life.Watcher, StandInNetwork.Listener, Truth.Listener, MoveTracker.Observer {
    @Override
    public void before(Life life, String operation) {
      faults.before(life, operation);
    }

    @Override
    public void after(Life life, String operation) {
      log.add(time.nowNs(), Kind.EFFECT, life.host(), "", operation, "");
      faults.after(life);
    }

    @Override
    public String digest(Life life, String digest) {
      return faults.digest(life, digest);
    }

    @Override
    public long duration(Life life, long ns) {
      return ns / 2 + chance.nextLong(ns + 1);
    }

    @Override
    public void delivered(String from, String to, PeerMessage message) {
      log.add(time.nowNs(), Kind.MESSAGE, from, to, message.getClass().getSimpleName(), about(message));
    }

    @Override
    public void lost(String from, String to, PeerMessage message) {
      log.add(time.nowNs(), Kind.LOST, from, to, message.getClass().getSimpleName(), about(message));
    }

    private static String about(PeerMessage message) {
      return message instanceof PeerMessage.OfMigration ofMigration ? ofMigration.migration() : "";
    }

    @Override
    public void changed(String host, String container, State state) {
      log.add(time.nowNs(), Kind.COPY, host, "", state.name(), container);
    }

    @Override
    public void entered(Move move) {
      log.add(time.nowNs(), Kind.PHASE, move.host, move.peer, move.phase.title(), move.migration);
      faults.entered(move);
    }

    @Override
    public void ended(Move move, String result) {
      log.add(time.nowNs(), Kind.PHASE, move.host, move.peer, result, move.migration);
      switch (result) {
        case "COMPLETED" -> completed++;
        case "ROLLED_BACK", "REFUSED" -> rolledBack += move.isSource() ? 1 : 0;
        default -> {}
      }
    }

    @Override
    public void failing(Move move) {
      faults.failed(move);
      log.add(time.nowNs(), Kind.FAULT, move.host, "", "the actor of the move fails", move.migration);
    }
  }
}
