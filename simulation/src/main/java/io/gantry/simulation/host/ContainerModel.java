package io.gantry.simulation.host;

/**
 * What a simulated container is like.
 *
 * @param pages what it has in memory, in pages of 4096 bytes; at least 1
 * @param writes what it writes
 * @param processes how many it has at birth, at least 1
 * @param threads of all processes, at least as many
 * @param descriptors open ones of all processes
 */
public record ContainerModel(long pages, Writes writes, int processes, int threads, int descriptors) {
  /** What a container writes into its memory. Pure. */
  @FunctionalInterface
  public interface Writes {
    /**
     * Pages that it has written since it was born, each as often as it was written.
     *
     * @param runNs for how long it has run in all; pauses do not count
     * @return never less than for a smaller {@code runNs}
     */
    long pagesWritten(long runNs);
  }

  public ContainerModel {
    if (pages < 1 || processes < 1 || threads < processes || descriptors < 0) {
      throw new IllegalArgumentException("A container has at least one page and one process, and as many threads as processes.");
    }
  }

  /** One process of 1 MiB that writes now and then. */
  public static ContainerModel small() {
    return steady(256, 1_000);
  }

  /** Writes at a steady rate. */
  public static ContainerModel steady(long pages, long pagesWrittenPerSecond) {
    return new ContainerModel(pages, runNs -> (long) (runNs * (pagesWrittenPerSecond / 1e9)), 1, 1, 3);
  }

  /**
   * Writes at two rates in turns.
   *
   * @param periodNs of one quiet and one busy time together
   * @param busyShare how much of it is busy, 0 to 1
   */
  public static ContainerModel bursty(long pages, long quietPerSecond, long busyPerSecond, long periodNs, double busyShare) {
    var busyNs = (long) (periodNs * busyShare);
    var quietNs = periodNs - busyNs;
    Writes writes =
        runNs -> {
          var periods = runNs / periodNs;
          var rest = runNs % periodNs;
          var quiet = periods * quietNs + Math.min(rest, quietNs);
          var busy = periods * busyNs + Math.max(0, rest - quietNs);
          return (long) (quiet * (quietPerSecond / 1e9) + busy * (busyPerSecond / 1e9));
        };
    return new ContainerModel(pages, writes, 1, 1, 3);
  }

  /** The same with that many processes and threads. */
  public ContainerModel with(int processCount, int threadCount, int descriptorCount) {
    return new ContainerModel(pages, writes, processCount, threadCount, descriptorCount);
  }

  /** Different pages written between two moments of its running time: at most all of them. */
  long dirtyPages(long fromRunNs, long toRunNs) {
    return Math.min(pages, writes.pagesWritten(toRunNs) - writes.pagesWritten(fromRunNs));
  }
}
