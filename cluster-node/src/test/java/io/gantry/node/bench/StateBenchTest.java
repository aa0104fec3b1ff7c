package io.gantry.node.bench;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.Json;
import org.junit.jupiter.api.Test;

class StateBenchTest {
  private static ObjectNode report(double processes, double threads) {
    ObjectNode report = Json.object();
    var results = report.putArray("results");
    results.addObject().put("what", "processes").putObject("pause_ms").put("p50", processes);
    results.addObject().put("what", "threads").putObject("pause_ms").put("p50", threads);
    return report;
  }

  @Test
  void eachOfTheTwoBoundsIsJudged() {
    assertThat(StateBench.missed(report(100, 150))).isEmpty();
    assertThat(StateBench.missed(report(100.5, 150))).singleElement().asString().contains("100.5 ms", "at most 100 ms");
    assertThat(StateBench.missed(report(100, 151))).singleElement().asString().contains("151.0 ms", "at most 150 ms");
  }
}
