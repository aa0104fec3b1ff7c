package io.gantry.transport;

import java.lang.foreign.MemorySegment;

/** Passes everything on, for tests that change one thing. */
class ForwardingHandler implements FrameHandler {
  private final FrameHandler next;

  ForwardingHandler(FrameHandler next) {
    this.next = next;
  }

  @Override
  public void pages(int space, long[] addresses, int[] counts, int runCount, MemorySegment data) {
    next.pages(space, addresses, counts, runCount, data);
  }

  @Override
  public void zero(int space, long address, long pageCount) {
    next.zero(space, address, pageCount);
  }

  @Override
  public void message(int type, byte[] bytes) {
    next.message(type, bytes);
  }

  @Override
  public void end() {
    next.end();
  }

  @Override
  public void failed(TransportException reason) {
    next.failed(reason);
  }
}
