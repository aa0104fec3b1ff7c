package io.gantry.transport;

import java.lang.foreign.MemorySegment;

/**
 * Takes what a stream brings, in the order in which it was sent; always on the thread that polls the receiver. Whatever a method
 * throws ends the stream: the sender is told and {@link #failed} is called.
 */
public interface FrameHandler {
  /**
   * Pages with content.
   *
   * @param space the number the two sides gave to what the pages belong to
   * @param addresses start of each run in bytes, a multiple of 4096; only the first {@code runCount} entries, only during the
   *     call
   * @param pageCounts length of each run in pages, at least 1
   * @param data the runs one behind the other: native read-only memory, valid during the call only
   */
  void pages(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data);

  /**
   * Pages that read as zero.
   *
   * @param address start in bytes, a multiple of 4096
   * @param pageCount at least 1
   */
  void zero(int space, long address, long pageCount);

  /** A whole message; {@code bytes} belongs to the handler. */
  void message(int type, byte[] bytes);

  /** The sender said that this was all. Nothing follows. */
  void end();

  /** The stream broke, and nothing follows. Called at most once, and never after {@link #end}. */
  void failed(TransportException reason);
}
