package io.gantry.node.bench;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.Json;
import org.junit.jupiter.api.Test;

class BoundsTest {
  private static ObjectNode report(double small, double p50, double p95, double large, double share, double idle) {
    ObjectNode report = Json.object();
    var results = report.putArray("results");
    long[] sizes = {64L << 20, 1L << 30, 4L << 30};
    double[] medians = {small, p50, large};
    for (int i = 0; i < sizes.length; i++) {
      var result = results.addObject().put("size_bytes", sizes[i]);
      result.putObject("pause_ms").put("p50", medians[i]).put("p95", p95);
      result.put("throughput_bytes_per_s", share * 1e9).put("raw_stream_bytes_per_s", 1e9);
    }
    report.putObject("idle").put("ratio", idle);
    return report;
  }

  @Test
  void figuresWithinTheBoundsAreFine() {
    assertThat(Bounds.missed(report(20, 30, 60, 30, 0.6, 1.05))).isEmpty();
  }

  @Test
  void everyMissIsASentenceOfItsOwn() {
    assertThat(Bounds.missed(report(20, 31, 61, 30.5, 0.59, 1.06)))
        .hasSize(6)
        .anyMatch(sentence -> sentence.contains("median pause at 1 GiB is 31.0 ms"))
        .anyMatch(sentence -> sentence.contains("more than 1.5 times that at 64 MiB"))
        .anyMatch(sentence -> sentence.contains("59 %"))
        .anyMatch(sentence -> sentence.contains("1.060 times"));
  }
}
