package io.gantry.simulation.run;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.simulation.fault.FaultKind;
import io.gantry.simulation.mutation.Mutations;
import org.junit.jupiter.api.Test;

class ShrinkerTest {
  @Test
  void aFailureIsShrunkToTheFaultsThatItNeedsAndCanBeRead() {
    var settings = RunSettings.exploring().withMutation(Mutations.named("lose-both-digest-checks").orElseThrow());
    var failed = Exploration.run(settings, 1, 2_000, Exploration.Progress.SILENT).failures().getFirst();
    var least = Shrinker.shrink(settings, failed);
    assertThat(least.plan()).singleElement().satisfies(fault -> {
      assertThat(fault.kind()).isIn(FaultKind.PAGE_CORRUPTION, FaultKind.WRONG_DIGEST);
      assertThat(fault.effects()).isZero();
    });
    assertThat(least.violations().getFirst().invariant()).isEqualTo("I5");
    var lines = Timeline.summary(least.log());
    assertThat(lines).anyMatch(line -> line.contains("FAULT " + least.plan().getFirst().kind().title()));
    assertThat(lines.getLast()).contains("BROKEN I5");
    assertThat(Timeline.lines(least.log()).size()).isGreaterThan(lines.size());
    assertThat(Timeline.sequenceDiagram(least.log())).startsWith("sequenceDiagram").contains("->>").contains("✗");
  }
}
