package io.gantry.checkpoint;

import java.lang.foreign.MemorySegment;

/** The other end of a {@link PageSink}: takes pages and messages in the order in which they were sent. One thread at a time. */
public interface PageReceiver {
  /** {@code data} is only valid during the call and holds the runs one behind the other. */
  void pages(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data);

  void zero(int space, long address, long pageCount);

  void message(int type, byte[] bytes);
}
