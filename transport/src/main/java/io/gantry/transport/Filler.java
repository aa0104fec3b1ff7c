package io.gantry.transport;

import java.lang.foreign.MemorySegment;

/** Reads pages into a buffer that is about to be sent. */
@FunctionalInterface
public interface Filler {
  /**
   * Fills all of {@code destination}, the runs one behind the other.
   *
   * @param destination native memory that leaves with the stream; valid during the call only, its content undefined before.
   *     Whatever this throws passes through to the caller of the stream, nothing is sent, and the stream stays usable
   */
  void fill(MemorySegment destination);
}
