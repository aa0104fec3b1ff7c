package io.gantry.checkpoint;

/**
 * Where a capture sends what it found, in order. Implemented over a network stream by the actors and over files by
 * {@code image}. One thread at a time; calls may block for flow control and throw {@link CheckpointException} when the
 * other side is gone or a deadline has passed.
 *
 * <p>A <em>space</em> is something that has pages: the private memory of one process, a shared-memory object, or the content
 * of a file that travels along. Its number is chosen by the capture and declared by a message before the first page.
 */
public interface PageSink {
  /** Most pages that one call to {@link #pages} may carry. */
  int pagesMax();

  /** Most runs that one call to {@link #pages} may carry. */
  int runsMax();

  /** Sends pages with content; {@code reader} is called exactly once, on this thread, before this returns. */
  void pages(int space, long[] addresses, int[] pageCounts, int runCount, PageReader reader);

  /** Pages that read as zero and hold no memory on the other side afterwards (never written, dropped, or all zero). */
  void zero(int space, long address, long pageCount);

  /**
   * A protobuf message of the given type, delivered in order with the pages before and behind it.
   *
   * @param type one of the numbers in {@code io.gantry.checkpoint.image.StreamMessage}
   */
  void message(int type, byte[] bytes);

  /** Makes sure that everything sent so far is on its way. */
  void flush();

  /** Bytes that left through this sink so far, framing included. */
  long bytesSent();

  /** Pages that were sent without content so far: those given to {@link #zero}, and those given to {@link #pages} that were found to be all zero. */
  long zeroPagesSent();
}
