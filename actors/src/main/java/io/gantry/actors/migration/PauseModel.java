package io.gantry.actors.migration;

/**
 * What a pause costs besides its memory: stopping, kernel objects, recreating, the commit. Starts from a rough price list and
 * learns from each move
 * (the rehearsal of a starting node included) how far off the list is on these hosts.
 *
 * @param factor by what the price list is multiplied, 0.05 to 20
 */
public record PauseModel(double factor) {
  // First guesses, in the middle of what 2-core virtual machines showed; the factor corrects them after the first move.
  private static final long BASE_NS = 8_000_000;
  private static final long PROCESS_NS = 300_000;
  private static final long THREAD_NS = 40_000;
  private static final long DESCRIPTOR_NS = 30_000;

  /** How much of the new measurement goes into the factor. */
  private static final double LEARNING_RATE = 0.5;

  /** Before anything was learned. */
  public static final PauseModel INITIAL = new PauseModel(1.0);

  public PauseModel {
    factor = Math.clamp(factor, 0.05, 20);
  }

  /** The size of what has to be recreated. */
  public record Shape(int processes, int threads, int descriptors) {}

  /** What a pause of such a container costs without its memory, in nanoseconds. */
  public long fixedNs(Shape shape) {
    return Math.round(factor * listNs(shape));
  }

  /**
   * Learns from a move.
   *
   * @param measuredNs the pause without the time for its last pages
   */
  public PauseModel learn(Shape shape, long measuredNs) {
    var measuredFactor = Math.max(measuredNs, 0) / (double) listNs(shape);
    return new PauseModel(factor + LEARNING_RATE * (measuredFactor - factor));
  }

  private static long listNs(Shape shape) {
    return BASE_NS
        + PROCESS_NS * shape.processes()
        + THREAD_NS * shape.threads()
        + DESCRIPTOR_NS * shape.descriptors();
  }
}
