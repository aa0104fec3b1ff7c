package io.gantry.simulation.fault;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * What goes wrong in one run, drawn from its seed. Pairs of a kind and a phase are drawn evenly, so that seldom phases are met as
 * often as
 * common ones; a phase that only other faults lead to comes with one of these.
 */
public final class FaultPlan {
  private static final int FAULTS_MAX = 3;

  /** Faults that lead to a phase which no undisturbed move enters. */
  private static final Map<MovePhase, List<Pair>> WAYS =
      Map.of(
          MovePhase.source("Unsaying"),
              List.of(
                  pair(FaultKind.LOST_WRITE, MovePhase.source("Releasing")),
                  pair(FaultKind.TORN_WRITE, MovePhase.source("Releasing"))),
          MovePhase.source("TakingBack"),
              List.of(
                  pair(FaultKind.HOST_CRASH, MovePhase.source("Activating")),
                  pair(FaultKind.HOST_CRASH, MovePhase.destination("Holding"))),
          MovePhase.source("RollingBack"),
              List.of(
                  pair(FaultKind.USER_CANCEL, MovePhase.source("PreCopying")),
                  pair(FaultKind.ENGINE_FAILURE, MovePhase.destination("Recreating")),
                  pair(FaultKind.WRONG_DIGEST, MovePhase.source("SendingLast"))),
          MovePhase.destination("Discarding"),
              List.of(
                  pair(FaultKind.USER_CANCEL, MovePhase.source("PreCopying")),
                  pair(FaultKind.ENGINE_FAILURE, MovePhase.destination("Recreating"))),
          MovePhase.destination("Forgetting"),
              List.of(
                  pair(FaultKind.USER_CANCEL, MovePhase.source("PreCopying")),
                  pair(FaultKind.ENGINE_FAILURE, MovePhase.source("Freezing"))));

  /** One plan in so many has one of these as well. */
  private static final int RECIPE_ONE_IN = 25;

  /** Faults that are only dangerous one after the other, and that chance brings together too seldom. */
  private static final List<List<Pair>> RECIPES =
      List.of(
          // RELEASED is on the disk though its writing failed; the destination holds a copy and cannot be told; the agent forgets.
          List.of(
              pair(FaultKind.LOST_WRITE, MovePhase.source("Releasing")),
              pair(FaultKind.PARTITION, MovePhase.source("Releasing")),
              pair(FaultKind.AGENT_CRASH, MovePhase.source("RollingBack"))),
          // The destination owns the container, and neither side can remember having said so.
          List.of(
              pair(FaultKind.MESSAGE_LOSS, MovePhase.source("Activating")),
              pair(FaultKind.AGENT_CRASH, MovePhase.destination("Starting")),
              pair(FaultKind.AGENT_CRASH, MovePhase.source("Destroying"))));

  private record Pair(FaultKind kind, MovePhase phase) {}

  private static Pair pair(FaultKind kind, MovePhase phase) {
    return new Pair(kind, phase);
  }

  private FaultPlan() {}

  /** One to three faults of the given kinds, and those that lead to them. */
  public static List<Fault> draw(SplittableRandom chance, Set<FaultKind> kinds) {
    var pairs = new ArrayList<Pair>();
    for (var kind : FaultKind.values()) {
      if (kinds.contains(kind)) {
        kind.phases().forEach(phase -> pairs.add(pair(kind, phase)));
      }
    }
    if (pairs.isEmpty()) {
      return List.of();
    }
    var faults = new ArrayList<Fault>();
    for (var left = 1 + chance.nextInt(FAULTS_MAX); left > 0; left--) {
      var drawn = pairs.get(chance.nextInt(pairs.size()));
      var ways = WAYS.getOrDefault(drawn.phase(), List.of()).stream().filter(way -> kinds.contains(way.kind())).toList();
      if (!ways.isEmpty()) {
        var way = ways.get(chance.nextInt(ways.size()));
        faults.add(fault(chance, way, 1 + chance.nextInt(2)));
        faults.add(fault(chance, drawn, 1));
      } else {
        faults.add(fault(chance, drawn, 1 + chance.nextInt(3)));
      }
    }
    var seldom = chance.split();
    if (seldom.nextInt(RECIPE_ONE_IN) == 0) {
      var recipe = RECIPES.get(seldom.nextInt(RECIPES.size()));
      if (recipe.stream().allMatch(pair -> kinds.contains(pair.kind()))) {
        recipe.forEach(pair -> faults.add(fault(seldom, pair, 1)));
      }
    }
    return faults;
  }

  private static Fault fault(SplittableRandom chance, Pair pair, int entry) {
    // Half of them at once: the phases that end quickly would not be met otherwise.
    var delayNs = chance.nextBoolean() ? 0 : (long) Math.exp(chance.nextDouble(Math.log(1_000), Math.log(50_000_000)));
    var effects = chance.nextBoolean() ? 0 : 1 + chance.nextInt(8);
    var lastsNs = (long) Math.exp(chance.nextDouble(Math.log(1_000_000), Math.log(20_000_000_000.0)));
    return new Fault(pair.kind(), pair.phase(), entry, delayNs, effects, lastsNs, chance.nextLong());
  }

}
