package io.gantry.transport;

/** Runs of zero pages of one space that wait to travel with the next frame. For one thread. */
final class ZeroRuns {
  private final long[] addresses;
  private final long[] pages;
  private int space;
  private int count;

  ZeroRuns(int capacity) {
    addresses = new long[capacity];
    pages = new long[capacity];
  }

  /** Adds a run, or lengthens the last one. Returns false when full. */
  boolean add(int space, long address, long pageCount) {
    int last = count - 1;
    if (count > 0
        && addresses[last] + pages[last] * Frame.PAGE_BYTES == address
        && pages[last] + pageCount <= Frame.RUN_PAGES_MAX) {
      pages[last] += pageCount;
      return true;
    }
    if (count == addresses.length) {
      return false;
    }
    this.space = space;
    addresses[count] = address;
    pages[count++] = pageCount;
    return true;
  }

  boolean isEmpty() {
    return count == 0;
  }

  int count() {
    return count;
  }

  int space() {
    return space;
  }

  long address(int index) {
    return addresses[index];
  }

  long pages(int index) {
    return pages[index];
  }

  void clear() {
    count = 0;
  }
}
