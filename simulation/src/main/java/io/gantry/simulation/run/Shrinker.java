package io.gantry.simulation.run;

import io.gantry.simulation.fault.Coverage;
import io.gantry.simulation.fault.Fault;
import io.gantry.simulation.time.VirtualActorSystem;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;

/** Finds out which faults of a run that failed were needed for that. */
public final class Shrinker {
  private final VirtualActorSystem actors;
  private final RunSettings settings;
  private final long seed;
  private final String invariant;

  private Shrinker(VirtualActorSystem actors, RunSettings settings, long seed, String invariant) {
    this.actors = actors;
    this.settings = settings;
    this.seed = seed;
    this.invariant = invariant;
  }

  /**
   * The same run with as few and as simple faults as break the same invariant, in words.
   *
   * @param failed has at least one violation
   */
  public static RunResult shrink(RunSettings settings, RunResult failed) {
    try (var actors = new VirtualActorSystem()) {
      return new Shrinker(actors, settings, failed.seed(), failed.violations().getFirst().invariant()).shrink(failed.plan());
    }
  }

  private RunResult shrink(List<Fault> plan) {
    var least = withoutTheNeedless(plan);
    for (var i = 0; i < least.size(); i++) {
      least = simplified(least, i, fault -> of(fault, fault.delayNs(), 0, fault.lastsNs()));
      least = simplified(least, i, fault -> of(fault, 0, fault.effects(), fault.lastsNs()));
      least = simplified(least, i, fault -> of(fault, fault.delayNs(), fault.effects(), 1_000_000_000));
    }
    return run(withoutTheNeedless(least), true);
  }

  private List<Fault> withoutTheNeedless(List<Fault> plan) {
    var least = new ArrayList<>(plan);
    for (var i = least.size() - 1; i >= 0; i--) {
      var fewer = new ArrayList<>(least);
      fewer.remove(i);
      if (stillFails(fewer)) {
        least = fewer;
      }
    }
    return least;
  }

  private List<Fault> simplified(List<Fault> plan, int index, UnaryOperator<Fault> change) {
    var simpler = new ArrayList<>(plan);
    simpler.set(index, change.apply(plan.get(index)));
    return !simpler.equals(plan) && stillFails(simpler) ? simpler : plan;
  }

  private static Fault of(Fault fault, long delayNs, int effects, long lastsNs) {
    return new Fault(fault.kind(), fault.phase(), fault.entry(), delayNs, effects, lastsNs, fault.choice());
  }

  private boolean stillFails(List<Fault> plan) {
    return run(plan, false).violations().stream().anyMatch(violation -> violation.invariant().equals(invariant));
  }

  private RunResult run(List<Fault> plan, boolean isTraced) {
    return SeedRun.run(actors, settings, seed, plan, new Coverage(settings.faults()), isTraced);
  }
}
