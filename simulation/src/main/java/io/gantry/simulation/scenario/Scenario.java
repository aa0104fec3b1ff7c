package io.gantry.simulation.scenario;

import io.gantry.actors.MigrateOptions;
import io.gantry.simulation.host.ContainerModel;
import io.gantry.simulation.host.HostModel;
import io.gantry.simulation.network.NetworkModel;
import java.util.ArrayList;
import java.util.List;

/**
 * An experiment: containers of given kinds on nodes that are joined by a given network are moved, each to another node as soon as
 * its
 * last move has ended. The actors and their decisions are the real ones; only time, engine and network are models.
 *
 * <pre>{@code
 * var result = Scenario.of(2).with("cache", ContainerModel.steady(262_144, 20_000), 4).withMoves(500).run();
 * System.out.println(result.pauseMs().p99());
 * }</pre>
 *
 * @param nodes at least 2
 * @param seed everything that is left to chance depends on it
 * @param moves in all
 * @param options of each move
 * @param network between any two nodes
 * @param hosts how long the engine and the disk take
 * @param kinds of containers; at least one before {@link #run}
 */
public record Scenario(
    int nodes, long seed, int moves, MigrateOptions options, NetworkModel network, HostModel hosts, List<Kind> kinds) {
  /** Containers that are alike. @param count how many */
  public record Kind(String name, ContainerModel model, int count) {}

  public Scenario {
    kinds = List.copyOf(kinds);
    if (nodes < 2 || moves < 1) {
      throw new IllegalArgumentException("A scenario needs at least two nodes and one move.");
    }
  }

  /** A hundred moves between so many nodes, in one rack, with the usual options; no containers yet. */
  public static Scenario of(int nodes) {
    return new Scenario(nodes, 1, 100, MigrateOptions.defaults(), NetworkModel.RACK, HostModel.USUAL, List.of());
  }

  /** And so many containers of another kind. */
  public Scenario with(String name, ContainerModel model, int count) {
    var more = new ArrayList<>(kinds);
    more.add(new Kind(name, model, count));
    return new Scenario(nodes, seed, moves, options, network, hosts, more);
  }

  public Scenario withNodes(int count) {
    return new Scenario(count, seed, moves, options, network, hosts, kinds);
  }

  public Scenario withSeed(long number) {
    return new Scenario(nodes, number, moves, options, network, hosts, kinds);
  }

  public Scenario withMoves(int count) {
    return new Scenario(nodes, seed, count, options, network, hosts, kinds);
  }

  public Scenario withOptions(MigrateOptions wanted) {
    return new Scenario(nodes, seed, moves, wanted, network, hosts, kinds);
  }

  public Scenario withNetwork(NetworkModel model) {
    return new Scenario(nodes, seed, moves, options, model, hosts, kinds);
  }

  public Scenario withHosts(HostModel model) {
    return new Scenario(nodes, seed, moves, options, network, model, kinds);
  }

  /** Lets it happen, on virtual time. */
  public ScenarioResult run() {
    if (kinds.isEmpty()) {
      throw new IllegalArgumentException("A scenario needs at least one kind of container.");
    }
    return ScenarioRun.run(this);
  }
}
