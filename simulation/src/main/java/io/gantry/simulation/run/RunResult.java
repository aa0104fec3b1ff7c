package io.gantry.simulation.run;

import io.gantry.simulation.fault.Fault;
import io.gantry.simulation.host.Truth.Violation;
import java.util.List;

/**
 * What came of one run.
 *
 * @param seed that it was drawn from
 * @param plan what was to go wrong
 * @param migrations moves that were begun
 * @param completed moves that their sources saw completed
 * @param rolledBack moves that their sources saw undone or refused
 * @param violations what was broken; empty when all went well
 * @param steps things that happened on the virtual queue
 * @param virtualNs how long it took on the virtual clock
 * @param log what happened
 */
public record RunResult(
    long seed, List<Fault> plan, long migrations, long completed, long rolledBack, List<Violation> violations, long steps,
    long virtualNs, EventLog log) {
  public RunResult {
    plan = List.copyOf(plan);
    violations = List.copyOf(violations);
  }

  public boolean isSound() {
    return violations.isEmpty();
  }
}
