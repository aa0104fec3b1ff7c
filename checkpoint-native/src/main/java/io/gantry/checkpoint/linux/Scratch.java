package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Native memory of each thread for the arguments and results of one call, so that hot calls allocate nothing. Its content is only
 * valid until the thread makes its next call through this package.
 */
final class Scratch {
  /** Room for the largest XSAVE area that exists today (11 KiB with AMX), 1024 iovecs twice, and a path. */
  static final int BYTES = 64 * 1024;

  static final int ALIGNMENT = 64;

  private static final ThreadLocal<MemorySegment> SEGMENT =
      ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(BYTES, ALIGNMENT));

  private Scratch() {}

  static MemorySegment get() {
    return Thread.currentThread() instanceof CallingThread caller ? caller.scratch() : SEGMENT.get();
  }
}
