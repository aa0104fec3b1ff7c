package io.gantry.simulation.scenario;

import java.util.Arrays;

/** Figures in order of their size. */
public final class Distribution {
  private final double[] sorted;

  /** @param values in any order */
  public Distribution(double[] values) {
    sorted = values.clone();
    Arrays.sort(sorted);
  }

  /** How many there are. */
  public int count() {
    return sorted.length;
  }

  /** The smallest figure that at least that share of all does not exceed; 0 when there is none. @param share 0 to 1 */
  public double at(double share) {
    if (sorted.length == 0) {
      return 0;
    }
    return sorted[Math.clamp((long) Math.ceil(share * sorted.length) - 1, 0, sorted.length - 1)];
  }

  public double min() {
    return at(0);
  }

  public double p50() {
    return at(0.5);
  }

  public double p95() {
    return at(0.95);
  }

  public double p99() {
    return at(0.99);
  }

  public double max() {
    return at(1);
  }

  /** Their mean; 0 when there is none. */
  public double mean() {
    return Arrays.stream(sorted).average().orElse(0);
  }
}
