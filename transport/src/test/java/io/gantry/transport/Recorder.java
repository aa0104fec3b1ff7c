package io.gantry.transport;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** Keeps what a stream brought: memory as it would be, and the order of events. */
final class Recorder implements FrameHandler {
  final Map<Integer, Map<Long, byte[]>> spaces = new HashMap<>();
  final List<byte[]> messages = Collections.synchronizedList(new ArrayList<>());
  final List<String> order = Collections.synchronizedList(new ArrayList<>());
  final List<String> failures = Collections.synchronizedList(new ArrayList<>());
  final AtomicInteger ends = new AtomicInteger();
  volatile long pages;
  volatile long zeroPages;

  @Override
  public void pages(int space, long[] addresses, int[] counts, int runCount, MemorySegment data) {
    long at = 0;
    for (int run = 0; run < runCount; run++) {
      for (int i = 0; i < counts[run]; i++, at += 4096) {
        byte[] page = data.asSlice(at, 4096).toArray(ValueLayout.JAVA_BYTE);
        spaces.computeIfAbsent(space, s -> new HashMap<>()).put(addresses[run] + 4096L * i, page);
        pages++;
      }
    }
    order.add("pages");
  }

  @Override
  public void zero(int space, long address, long pageCount) {
    zeroPages += pageCount;
    Map<Long, byte[]> memory = spaces.computeIfAbsent(space, s -> new HashMap<>());
    if (pageCount < 1 << 20) {
      for (long i = 0; i < pageCount; i++) {
        memory.remove(address + 4096 * i);
      }
    }
    order.add("zero");
  }

  @Override
  public void message(int type, byte[] bytes) {
    messages.add(bytes);
    order.add("message " + type);
  }

  @Override
  public void end() {
    ends.incrementAndGet();
  }

  @Override
  public void failed(TransportException reason) {
    failures.add(reason.getMessage());
  }
}
