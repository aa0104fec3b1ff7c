package io.gantry.checkpoint;

import java.lang.foreign.MemorySegment;

/** Copies pages of a space into memory that the caller owns, so that a sink can read straight into its own buffers. */
@FunctionalInterface
public interface PageReader {
  /**
   * Copies the runs, one behind the other.
   *
   * @param addresses first byte of each run (a multiple of 4096)
   * @param pageCounts pages of 4096 bytes in each run, all at least 1
   * @param runCount how many entries of the two arrays count
   * @param destination exactly as many bytes as the runs have
   */
  void read(long[] addresses, int[] pageCounts, int runCount, MemorySegment destination);
}
