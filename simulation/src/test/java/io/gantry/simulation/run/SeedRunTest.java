package io.gantry.simulation.run;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.simulation.fault.Coverage;
import io.gantry.simulation.time.VirtualActorSystem;
import java.util.HashMap;
import java.util.HashSet;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Many seeds, each a run of real actors with faults. */
class SeedRunTest {
  private static final RunSettings EXPLORING = RunSettings.exploring();

  private static RunResult run(VirtualActorSystem actors, RunSettings settings, long seed, Coverage coverage) {
    return SeedRun.run(actors, settings, seed, SeedRun.plan(settings, seed), coverage, false);
  }

  @Test
  void twoRunsOfOneSeedAreTheSameEventForEvent() {
    var hashes = new HashMap<Long, Long>();
    try (var actors = new VirtualActorSystem()) {
      for (var seed = 1L; seed <= 300; seed++) {
        hashes.put(seed, run(actors, EXPLORING, seed, new Coverage(EXPLORING.faults())).log().hash());
      }
    }
    assertThat(new HashSet<>(hashes.values())).as("every seed is another run").hasSize(300);
    // In another actor system and in another order, so that nothing that an earlier run has left behind counts.
    try (var actors = new VirtualActorSystem()) {
      for (var seed = 300L; seed >= 1; seed--) {
        assertThat(run(actors, EXPLORING, seed, new Coverage(EXPLORING.faults())).log().hash())
            .as("seed %d", seed).isEqualTo(hashes.get(seed));
      }
    }
  }

  @Test
  void undisturbedMovesAllComplete() {
    try (var actors = new VirtualActorSystem()) {
      for (var seed = 1L; seed <= 20; seed++) {
        var result = run(actors, RunSettings.plain(), seed, new Coverage(RunSettings.plain().faults()));
        assertThat(result.violations()).as("seed %d", seed).isEmpty();
        assertThat(result.completed()).isEqualTo(result.migrations()).isGreaterThanOrEqualTo(20);
      }
    }
  }

  @Test
  void seedsThatHaveFoundSomethingOnceStaySound() {
    for (var seed : new long[] {53, 61, 85, 104, 123, 1_034_212, 2_013_066}) {
      explore(EXPLORING, seed, 1);
    }
    for (var seed : new long[] {108, 240}) {
      explore(EXPLORING.withNodes(3).withContainers(3, 3), seed, 1);
    }
  }

  @Test
  void noSeedBreaksAnInvariant() {
    explore(EXPLORING, 1, 1_000);
  }

  @Test
  void noSeedOfThreeNodesBreaksAnInvariant() {
    explore(EXPLORING.withNodes(3).withContainers(3, 3), 1, 300);
  }

  @Test
  @Tag("long")
  void noSeedOfManyBreaksAnInvariantAndEveryFaultHasStruckInEveryPhase() {
    var coverage = explore(EXPLORING, 1_000_000, 15_000);
    assertThat(coverage.missed()).isEmpty();
  }

  private static Coverage explore(RunSettings settings, long first, int count) {
    var coverage = new Coverage(settings.faults());
    try (var actors = new VirtualActorSystem()) {
      for (var seed = first; seed < first + count; seed++) {
        var result = run(actors, settings, seed, coverage);
        assertThat(result.violations()).as("seed %d: %s", seed, result.plan()).isEmpty();
      }
    }
    return coverage;
  }
}
