package io.gantry.node.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.actors.MigrationOutcome;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MigrationTextTest {
  private static MigrationOutcome outcome(MigrationOutcome.Result result, String reason) {
    return new MigrationOutcome(
        "web", "alpha", "beta", result, reason, List.of(new MigrationOutcome.Round(10, 40960, 1.5, 200)), 50_000, 3, 4.5, 6.25, 1234.5,
        new MigrationOutcome.PausePhases(0.5, 1, 0.5, 1, 2, 1, 0.25), List.of("vm.max_map_count: 1 there, 2 here"));
  }

  @ParameterizedTest
  @CsvSource({"COMPLETED,OK", "REFUSED,REFUSED", "ROLLED_BACK,ROLLED_BACK", "IN_DOUBT,IN_DOUBT"})
  void everyOutcomeHasAnExitCodeOfItsOwn(MigrationOutcome.Result result, ExitCode code) {
    assertThat(MigrationText.exitCode(Json.object(outcome(result, "")))).isEqualTo(code);
  }

  @Test
  void jsonHasTheFieldsThatArePromised() {
    var json = Json.object(outcome(MigrationOutcome.Result.COMPLETED, ""));
    assertThat(json.fieldNames())
        .toIterable()
        .contains(
            "container", "from", "to", "outcome", "reason", "rounds", "bytes_sent", "zero_pages", "predicted_pause_ms", "pause_ms", "total_ms",
            "phases_ms", "warnings");
    assertThat(json.at("/rounds/0").fieldNames()).toIterable().containsExactly("pages", "bytes", "ms", "dirty_pages_per_s");
    assertThat(json.path("phases_ms").fieldNames())
        .toIterable()
        .containsExactly("freeze", "last_pages", "state", "transfer", "recreate", "commit", "resume");
    assertThat(json.path("outcome").asText()).isEqualTo("completed");
  }

  @Test
  void peopleReadWhatHappened() {
    assertThat(MigrationText.summary(Json.object(outcome(MigrationOutcome.Result.COMPLETED, ""))))
        .contains("moved from alpha to beta", "paused 6.3 ms", "predicted 4.5 ms", "last pages 1.0 ms", "The hosts differ: vm.max_map_count: 1 there, 2 here.");
    assertThat(MigrationText.summary(Json.object(outcome(MigrationOutcome.Result.ROLLED_BACK, "The disk is full."))))
        .contains("runs on on alpha", "The disk is full.");
  }
}
