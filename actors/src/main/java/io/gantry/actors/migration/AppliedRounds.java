package io.gantry.actors.migration;

import io.gantry.checkpoint.PageReceiver;
import io.gantry.checkpoint.image.StreamMessage;
import java.lang.foreign.MemorySegment;
import java.util.function.IntConsumer;

/** Passes a stream on and tells when all of a round has been taken in: its pages are in place, and the processes that they are for exist. */
final class AppliedRounds implements PageReceiver {
  private final PageReceiver receiver;
  private final IntConsumer applied;
  private int rounds;

  /** @param applied told how many rounds there have been, on the stream's thread */
  AppliedRounds(PageReceiver receiver, IntConsumer applied) {
    this.receiver = receiver;
    this.applied = applied;
  }

  @Override
  public void pages(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data) {
    receiver.pages(space, addresses, pageCounts, runCount, data);
  }

  @Override
  public void zero(int space, long address, long pageCount) {
    receiver.zero(space, address, pageCount);
  }

  @Override
  public void message(int type, byte[] bytes) {
    receiver.message(type, bytes);
    if (type == StreamMessage.ROUND_END) {
      applied.accept(++rounds);
    }
  }
}
