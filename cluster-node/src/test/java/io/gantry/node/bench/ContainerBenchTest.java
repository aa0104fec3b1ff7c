package io.gantry.node.bench;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.Json;
import org.junit.jupiter.api.Test;

class ContainerBenchTest {
  private static ObjectNode report(double pause, double stall, int lost) {
    ObjectNode report = Json.object().put("connections_lost", lost);
    report.putObject("pause_ms").put("p50", pause);
    report.putObject("stall_ms").put("max", stall);
    return report;
  }

  @Test
  void eachBoundIsJudged() {
    assertThat(ContainerBench.missed(report(60, 250, 0))).isEmpty();
    assertThat(ContainerBench.missed(report(60.1, 250, 0))).singleElement().asString().contains("60.1 ms", "at most 60 ms");
    assertThat(ContainerBench.missed(report(60, 250.2, 0))).singleElement().asString().contains("250.2 ms", "at most 250 ms");
    assertThat(ContainerBench.missed(report(1, 1, 2))).singleElement().asString().contains("2 connections were lost");
  }
}
