package io.gantry.node.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.node.ExitCode;
import io.gantry.node.Invocation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SimulateCommandTest {
  @TempDir Path directory;

  @Test
  void soundSeedsAreCountedAndEndWithZero() {
    Invocation result = Invocation.of("simulate", "--seeds", "40", "--json");
    assertThat(result.status()).isZero();
    var report = result.json();
    assertThat(report.path("seeds").asInt()).isEqualTo(40);
    assertThat(report.path("migrations").asInt()).isGreaterThan(80);
    assertThat(report.path("completed").asInt()).isPositive();
    assertThat(report.path("rolled_back").asInt()).isPositive();
    assertThat(report.path("violations")).isEmpty();
    assertThat(report.at("/coverage/hit").asInt()).isPositive().isLessThan(report.at("/coverage/total").asInt());
    assertThat(report.path("seconds").asDouble()).isPositive();
  }

  @Test
  void aMistakeIsFoundShrunkAndShown() {
    Invocation result = Invocation.of("simulate", "--seeds", "30", "--mutation", "run-when-undecided", "--json");
    assertThat(result.status()).isEqualTo(ExitCode.CHECK_FAILED.status());
    var violation = result.json().path("violations").path(0);
    assertThat(violation.path("invariant").asText()).isEqualTo("I1");
    assertThat(violation.path("faults").size()).as("shrunk to what it needs").isLessThanOrEqualTo(1);
    assertThat(violation.path("timeline").toString()).contains("BROKEN I1").contains("Query");
    assertThat(violation.path("diagram").asText()).startsWith("sequenceDiagram").contains("->>");
  }

  @Test
  void aReplayIsTheSameEveryTime() {
    var once = Invocation.of("simulate", "--replay", "17", "--json").json();
    var again = Invocation.of("simulate", "--replay", "17", "--json").json();
    assertThat(again).isEqualTo(once);
    assertThat(once.path("hash").asText()).hasSize(16);
    assertThat(once.path("timeline")).isNotEmpty();
  }

  @Test
  void aScenarioGivesDistributionsAsJsonCsvAndPlot() throws IOException {
    var text = directory.resolve("rack.txt");
    Files.writeString(text, "nodes 3\nmoves 30\ncontainer cache count=2 size=16MiB writes=5000/s\n");
    var csv = directory.resolve("moves.csv");
    var svg = directory.resolve("moves.svg");
    Invocation result =
        Invocation.of("simulate", "--scenario", text.toString(), "--csv", csv.toString(), "--plot", svg.toString(), "--json");
    assertThat(result.status()).as(result.err()).isZero();
    assertThat(result.json().path("completed").asInt()).isEqualTo(30);
    assertThat(result.json().at("/pause_ms/p50").asDouble()).isPositive();
    assertThat(Files.readAllLines(csv)).hasSize(31);
    assertThat(Files.readString(svg)).startsWith("<svg").contains("polyline");
    Files.writeString(text, "nodes 3\ncontainer cache size=much\n");
    Invocation wrong = Invocation.of("simulate", "--scenario", text.toString());
    assertThat(wrong.status()).isEqualTo(ExitCode.USAGE.status());
    assertThat(wrong.err()).contains("Line 2").contains("'much' is not");
  }
}
