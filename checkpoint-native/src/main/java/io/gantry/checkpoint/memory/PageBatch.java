package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.PageSink;
import java.lang.foreign.MemorySegment;

/**
 * Collects runs of pages of one space at a time and hands them to a sink in batches as large as it takes, so that scattered pages
 * cost one system call for many. Keeps the digest of everything that went through. Allocates nothing for each batch but the sink's
 * own. One thread.
 */
final class PageBatch implements PageReader {
  private final PageSink sink;
  private final PageDigest digest;
  private final int pagesMax;
  private final long[] addresses;
  private final int[] pageCounts;
  private int runs;
  private int pages;
  private int space;
  private PageReader source;
  private long pagesSent;
  private long zeroPages;

  PageBatch(PageSink sink, PageDigest digest) {
    this.sink = sink;
    this.digest = digest;
    this.pagesMax = sink.pagesMax();
    this.addresses = new long[sink.runsMax()];
    this.pageCounts = new int[sink.runsMax()];
  }

  /** The pages that follow belong to this space and are read from there. */
  void from(int newSpace, PageReader newSource) {
    flush();
    space = newSpace;
    source = newSource;
  }

  void add(long start, long end) {
    long at = start;
    while (at < end) {
      if (pages == pagesMax || runs == addresses.length) {
        flush();
      }
      int now = (int) Math.min(pagesMax - pages, (end - at) / Mmap.PAGE);
      if (runs > 0 && addresses[runs - 1] + pageCounts[runs - 1] * Mmap.PAGE == at) {
        pageCounts[runs - 1] += now;
      } else {
        addresses[runs] = at;
        pageCounts[runs] = now;
        runs++;
      }
      pages += now;
      at += now * Mmap.PAGE;
    }
  }

  void zero(long start, long end) {
    flush();
    long count = (end - start) / Mmap.PAGE;
    sink.zero(space, start, count);
    digest.addZero(space, start, count);
    zeroPages += count;
  }

  void message(int type, byte[] bytes) {
    flush();
    sink.message(type, bytes);
  }

  void flush() {
    if (runs > 0) {
      int count = runs;
      pagesSent += pages;
      runs = 0;
      pages = 0;
      sink.pages(space, addresses, pageCounts, count, this);
    }
  }

  /** Called by the sink. */
  @Override
  public void read(long[] runAddresses, int[] runPageCounts, int runCount, MemorySegment destination) {
    source.read(runAddresses, runPageCounts, runCount, destination);
    digest.add(space, runAddresses, runPageCounts, 0, runCount, destination);
  }

  /** Pages handed over as content; the sink may have found some of them to be zero. */
  long pagesSent() {
    return pagesSent;
  }

  /** Pages sent as dropped. */
  long zeroPages() {
    return zeroPages;
  }
}
