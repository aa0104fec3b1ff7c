package io.gantry.simulation.network;

/**
 * What a simulated network is like, the same between any two hosts. Times in nanoseconds.
 *
 * @param latencyNs from one host to another
 * @param jitterNs at most so much more, for each message anew
 * @param bytesPerSecond of one stream of pages
 * @param breakNs until somebody who sends into nothing, or waits for nothing, gives up
 * @param noticeNs until the membership tells of a change
 */
public record NetworkModel(long latencyNs, long jitterNs, long bytesPerSecond, long breakNs, long noticeNs) {
  /** Two hosts in one rack: 50 µs, 1.1 GB/s. */
  public static final NetworkModel RACK = new NetworkModel(50_000, 20_000, 1_100_000_000L, 500_000_000L, 2_000_000_000L);

  public NetworkModel {
    if (bytesPerSecond < 1 || latencyNs < 0 || jitterNs < 0) {
      throw new IllegalArgumentException("A network carries at least one byte per second and is not faster than time.");
    }
  }

  /** How long so many bytes take. */
  long transferNs(long bytes) {
    return (long) (bytes * 1e9 / bytesPerSecond);
  }
}
