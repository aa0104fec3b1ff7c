package io.gantry.simulation.run;

import io.gantry.simulation.fault.FaultKind;
import io.gantry.simulation.host.ContainerModel;
import io.gantry.simulation.host.HostModel;
import io.gantry.simulation.mutation.Mutation;
import io.gantry.simulation.network.NetworkModel;
import java.util.EnumSet;
import java.util.Set;

/**
 * What all seeds of an exploration have in common.
 *
 * @param nodes at least 2
 * @param containers at least 1
 * @param moves of each container, one after the other
 * @param faults kinds that may strike; none for undisturbed runs
 * @param mutation what is wrong with the protocol
 * @param hosts how long things take
 * @param links how long messages take
 * @param container what every container is like
 */
public record RunSettings(
    int nodes, int containers, int moves, Set<FaultKind> faults, Mutation mutation, HostModel hosts, NetworkModel links,
    ContainerModel container) {
  public RunSettings {
    faults = Set.copyOf(faults);
    if (nodes < 2 || containers < 1 || moves < 1) {
      throw new IllegalArgumentException("A run needs at least two nodes, one container and one move.");
    }
  }

  /** Two nodes, two containers, two moves each, everything that can go wrong. */
  public static RunSettings exploring() {
    return new RunSettings(
        2, 2, 2, EnumSet.allOf(FaultKind.class), Mutation.NONE, HostModel.USUAL, NetworkModel.RACK, ContainerModel.small());
  }

  /** Two nodes, one container that moves to and fro undisturbed. */
  public static RunSettings plain() {
    return exploring().withFaults(Set.of()).withContainers(1, 20);
  }

  public RunSettings withNodes(int count) {
    return new RunSettings(count, containers, moves, faults, mutation, hosts, links, container);
  }

  /** @param moveCount of each container */
  public RunSettings withContainers(int count, int moveCount) {
    return new RunSettings(nodes, count, moveCount, faults, mutation, hosts, links, container);
  }

  public RunSettings withFaults(Set<FaultKind> kinds) {
    return new RunSettings(nodes, containers, moves, kinds, mutation, hosts, links, container);
  }

  public RunSettings withMutation(Mutation wrong) {
    return new RunSettings(nodes, containers, moves, faults, wrong, hosts, links, container);
  }

  public RunSettings withModels(HostModel host, NetworkModel link, ContainerModel containerModel) {
    return new RunSettings(nodes, containers, moves, faults, mutation, host, link, containerModel);
  }
}
