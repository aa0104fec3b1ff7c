package io.gantry.node.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** The figures that must hold on two processors. */
public final class Bounds {
  static final long GIB = 1L << 30;
  static final double P50_MS_MAX = 30;
  static final double P95_MS_MAX = 60;
  static final double GROWTH_MAX = 1.5;
  static final double OF_RAW_STREAM_MIN = 0.6;
  static final double IDLE_RATIO_MAX = 1.05;

  private Bounds() {}

  /** One sentence per bound that a report misses; empty when all hold. Sizes that were not measured are not judged. */
  public static List<String> missed(ObjectNode report) {
    var missed = new ArrayList<String>();
    double smallest = Double.NaN;
    for (JsonNode result : report.path("results")) {
      long size = result.path("size_bytes").asLong();
      double p50 = result.at("/pause_ms/p50").asDouble();
      double p95 = result.at("/pause_ms/p95").asDouble();
      if (size == GIB) {
        require(missed, p50 <= P50_MS_MAX, "The median pause at 1 GiB is %.1f ms and must be at most %.0f ms.", p50, P50_MS_MAX);
        require(missed, p95 <= P95_MS_MAX, "The 95th percentile of the pause at 1 GiB is %.1f ms and must be at most %.0f ms.", p95, P95_MS_MAX);
      }
      if (size == 64L << 20) {
        smallest = p50;
      }
      if (size == 4 * GIB && !Double.isNaN(smallest)) {
        require(
            missed, p50 <= GROWTH_MAX * smallest, "The median pause at 4 GiB is %.1f ms, more than %.1f times that at 64 MiB.", p50, GROWTH_MAX);
      }
      double share = result.path("throughput_bytes_per_s").asDouble() / Math.max(1, result.path("raw_stream_bytes_per_s").asDouble());
      if (size >= GIB) {
        require(
            missed, share >= OF_RAW_STREAM_MIN, "Pages go at %.0f %% of the raw stream's rate and must at %.0f %%.", share * 100,
            OF_RAW_STREAM_MIN * 100);
      }
    }
    double ratio = report.at("/idle/ratio").asDouble();
    require(
        missed, ratio <= IDLE_RATIO_MAX, "An idle program costs %.3f times its non-zero memory and must cost at most %.2f times.", ratio,
        IDLE_RATIO_MAX);
    return missed;
  }

  private static void require(List<String> missed, boolean holds, String sentence, Object... values) {
    if (!holds) {
      missed.add(String.format(Locale.ROOT, sentence, values));
    }
  }
}
