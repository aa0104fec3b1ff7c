package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.PageReceiver;
import io.gantry.checkpoint.PageSink;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Hands everything to a receiver on the same thread, with zero pages taken out as a transport does. */
public final class LoopbackSink implements PageSink {
  static final int PAGES = 256;
  private static final MemorySegment ZERO = Arena.global().allocate(4096, 4096);

  private final PageReceiver receiver;
  private final MemorySegment buffer = Arena.global().allocate(PAGES * 4096L, 4096);
  private final long[] addresses = new long[PAGES];
  private final int[] counts = new int[PAGES];
  private long bytes;
  private long zeroPages;
  private long contentPages;

  public LoopbackSink(PageReceiver receiver) {
    this.receiver = receiver;
  }

  @Override
  public int pagesMax() {
    return PAGES;
  }

  @Override
  public int runsMax() {
    return PAGES;
  }

  @Override
  public void pages(int space, long[] runAddresses, int[] pageCounts, int runCount, PageReader reader) {
    int pages = 0;
    for (int run = 0; run < runCount; run++) {
      pages += pageCounts[run];
    }
    reader.read(runAddresses, pageCounts, runCount, buffer.asSlice(0, pages * 4096L));
    bytes += pages * 4096L;
    int runs = 0;
    int start = 0;
    int at = 0;
    for (int run = 0; run < runCount; run++) {
      int first = 0;
      for (int page = 0; page < pageCounts[run]; page++, at++) {
        if (buffer.asSlice(at * 4096L, 4096).mismatch(ZERO) == -1) {
          if (page > first) {
            addresses[runs] = runAddresses[run] + first * 4096L;
            counts[runs++] = page - first;
          }
          if (runs > 0) {
            int sent = at - start;
            receiver.pages(space, addresses, counts, runs, buffer.asSlice(start * 4096L, sent * 4096L));
            contentPages += sent;
          }
          receiver.zero(space, runAddresses[run] + page * 4096L, 1);
          zeroPages++;
          runs = 0;
          start = at + 1;
          first = page + 1;
        }
      }
      if (pageCounts[run] > first) {
        addresses[runs] = runAddresses[run] + first * 4096L;
        counts[runs++] = pageCounts[run] - first;
      }
    }
    if (runs > 0) {
      receiver.pages(space, addresses, counts, runs, buffer.asSlice(start * 4096L, (at - start) * 4096L));
      contentPages += at - start;
    }
  }

  @Override
  public void zero(int space, long address, long pageCount) {
    receiver.zero(space, address, pageCount);
    zeroPages += pageCount;
  }

  @Override
  public void message(int type, byte[] message) {
    receiver.message(type, message);
  }

  @Override
  public void flush() {}

  @Override
  public long bytesSent() {
    return bytes;
  }

  @Override
  public long zeroPagesSent() {
    return zeroPages;
  }

  long contentPages() {
    return contentPages;
  }
}
