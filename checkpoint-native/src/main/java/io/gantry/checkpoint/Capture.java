package io.gantry.checkpoint;

import java.util.Optional;

/**
 * One container being captured on the source. Used by one thread at a time. Order of calls:
 *
 * <pre>{@code
 * round* → freeze → sendLast → hold → (destroyOriginal | resume)
 *   any state before destroyOriginal: resume() lets the original run on, unharmed
 * }</pre>
 *
 * If the agent dies at any instant the container runs on by itself until {@link #hold()}; from then on the cgroup freezer keeps it.
 */
public interface Capture extends AutoCloseable {
  /**
   * Sends what is new since the last round (in the first: everything) while the container runs.
   *
   * @return what was sent, and how many pages have been written meanwhile
   */
  RoundReport round(PageSink sink);

  /**
   * Stops every thread of every process. A container that is met at a moment that cannot be carried and passes by itself (a connection that has sent
   * something and was not accepted yet) runs on for a little and is stopped again; when that does not help, {@link #sendLast} refuses by name.
   */
  FreezeReport freeze();

  /** Sends the last pages and the state of all kernel objects. Call after {@link #freeze()}. */
  LastReport sendLast(PageSink sink);

  /**
   * Hands the stopped container to the cgroup freezer and lets go of it, so that nothing depends on the agent any more. Locks on files are given up,
   * since the copy is to have them.
   */
  void hold();

  /**
   * The container runs on here; tracking is removed without a trace. Idempotent.
   *
   * @throws CheckpointException when it had given up a file lock that somebody else has now; it stays frozen then, and may be asked again
   */
  void resume();

  /** What has been sent of files that travel along; empty when none do. Any thread. */
  default Optional<HaulFigures> haul() {
    return Optional.empty();
  }

  /** Kills the frozen original and removes its cgroup. Only after the destination has taken over. */
  void destroyOriginal();

  /** Resumes unless held or destroyed, and releases tracking and descriptors. A held container stays held. */
  @Override
  void close();

  /**
   * How far files have come.
   *
   * @param passes that were begun
   * @param files that were made at the destination
   * @param bytes of their content that were sent
   */
  record HaulFigures(int passes, long files, long bytes) {}

  /**
   * @param pages pages with content that were sent
   * @param zeroPages pages that were sent as zero
   * @param bytes bytes that left through the sink
   * @param elapsedNs time from scan to flush
   * @param dirtyPages pages known to have been written during the round (what the next one has to carry at least), estimated by a scan that does not reset
   * @param processes processes alive in this round
   */
  record RoundReport(long pages, long zeroPages, long bytes, long elapsedNs, long dirtyPages, int processes) {}

  /**
   * @param elapsedNs from the first stop request until every thread stood still
   * @param ranOnNs how long the container still ran for the most part: until everything was looked at that can be looked at before the first stop request, and
   *     from that to the last first one when once was not enough
   * @param threads how many there were
   */
  record FreezeReport(long elapsedNs, long ranOnNs, int threads) {}

  /**
   * @param pages last pages
   * @param bytes bytes of pages and state
   * @param pagesNs time for the last pages
   * @param stateNs time for kernel objects
   * @param digest digest over memory and state that the destination must compute as well, lower-case hexadecimal
   */
  record LastReport(long pages, long zeroPages, long bytes, long pagesNs, long stateNs, String digest) {}
}
