package io.gantry.simulation.scenario;

import io.gantry.actors.MigrationOutcome;
import io.gantry.actors.NodeCommand;
import io.gantry.simulation.host.Life;
import io.gantry.simulation.host.Truth;
import io.gantry.simulation.run.VirtualCluster;
import io.gantry.simulation.time.VirtualActorSystem;
import io.gantry.simulation.time.VirtualTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;

/** One scenario while it goes on. One thread. */
final class ScenarioRun {
  private static final long RETRY_NS = 50_000_000;

  /** An experiment that takes longer than that on the virtual clock has got stuck. */
  private static final long VIRTUAL_MAX_NS = 30L * 24 * 3600 * 1_000_000_000;

  private final Scenario scenario;
  private final VirtualCluster cluster;
  private final VirtualTime time;
  private final SplittableRandom chance;
  private final List<String> hosts = new ArrayList<>();
  private final Map<String, Long> pausesNs = new HashMap<>();
  private final List<ScenarioResult.Move> moves = new ArrayList<>();
  private final List<Owner> owners = new ArrayList<>();
  private int begun;

  private ScenarioRun(Scenario scenario, VirtualActorSystem actors) {
    this.scenario = scenario;
    this.chance = new SplittableRandom(scenario.seed());
    var jitter = chance.split();
    var watcher =
        new Life.Watcher() {
          @Override
          public long duration(Life life, long ns) {
            return (long) (ns * jitter.nextDouble(0.8, 1.2)); // as the same work on one machine takes now more, now less
          }
        };
    this.cluster =
        new VirtualCluster(
            actors,
            VirtualCluster.Setup.plain(scenario.seed()).withModels(scenario.hosts(), scenario.network()).withWatcher(watcher));
    this.time = cluster.time();
    cluster
        .truth()
        .listen(
            new Truth.Listener() {
              @Override
              public void paused(String container, long pauseNs) {
                pausesNs.put(container, pauseNs);
              }
            });
  }

  static ScenarioResult run(Scenario scenario) {
    try (var actors = new VirtualActorSystem()) {
      return new ScenarioRun(scenario, actors).run();
    }
  }

  private ScenarioResult run() {
    try {
      for (var i = 0; i < scenario.nodes(); i++) {
        hosts.add("node-" + (i + 1));
      }
      var homes = new LinkedHashMap<String, List<String>>();
      for (var kind : scenario.kinds()) {
        for (var i = 1; i <= kind.count(); i++) {
          var owner = new Owner(kind.name() + "-" + i, kind.name(), chance.nextInt(hosts.size()));
          owners.add(owner);
          homes.computeIfAbsent(hosts.get(owner.at), _ -> new ArrayList<>()).add(owner.container);
          cluster.truth().expect(owner.container, kind.model());
        }
      }
      homes.forEach(cluster::leave);
      hosts.forEach(cluster::start);
      time.after(1_000_000, cluster.network()::tellPeers);
      for (var owner : owners) {
        // Not all at once: they would move in step for ever.
        time.after(100_000_000 + chance.nextLong(1_000_000_000), owner::move);
      }
      while (moves.size() < scenario.moves()) {
        if (!time.step() || time.nowNs() > VIRTUAL_MAX_NS) {
          throw new IllegalStateException("The scenario got stuck after " + moves.size() + " moves.");
        }
        if (cluster.truth().isBroken()) {
          throw new IllegalStateException("The scenario broke an invariant: " + cluster.truth().violations());
        }
      }
      requireOrder();
      return new ScenarioResult(scenario, moves, time.nowNs());
    } finally {
      cluster.close();
    }
  }

  private void requireOrder() {
    for (var owner : owners) {
      var running = cluster.truth().runningOn(owner.container);
      if (!running.equals(List.of(hosts.get(owner.at)))) {
        throw new IllegalStateException("Container " + owner.container + " runs on " + running + " after all moves.");
      }
    }
  }

  private final class Owner {
    final String container;
    final String kind;
    int at;

    Owner(String container, String kind, int at) {
      this.container = container;
      this.kind = kind;
      this.at = at;
    }

    void move() {
      if (begun >= scenario.moves()) {
        return;
      }
      begun++;
      var to = (at + 1 + chance.nextInt(hosts.size() - 1)) % hosts.size();
      cluster.<NodeCommand.MigrateReply>ask(
          hosts.get(at),
          replyTo -> new NodeCommand.MigrateContainer(container, hosts.get(to), scenario.options(), Optional.empty(), replyTo),
          reply -> {
            switch (reply) {
              case NodeCommand.MigrationEnded(var outcome) -> ended(outcome, to);
              case NodeCommand.Rejected _ -> {
                begun--;
                time.after(RETRY_NS, this::move);
              }
            }
          });
    }

    private void ended(MigrationOutcome outcome, int to) {
      var hasStood = outcome.pauseMs() > 0;
      moves.add(
          new ScenarioResult.Move(
              kind, container, outcome.outcome(), hasStood ? pausesNs.getOrDefault(container, 0L) / 1e6 : 0,
              outcome.predictedPauseMs(),
              outcome.totalMs(), outcome.bytesSent(), outcome.rounds().size()));
      if (outcome.outcome() == MigrationOutcome.Result.COMPLETED) {
        at = to;
      }
      time.after(RETRY_NS, this::move);
    }
  }
}
