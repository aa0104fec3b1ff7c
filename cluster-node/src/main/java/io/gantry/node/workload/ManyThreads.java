package io.gantry.node.workload;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;

/**
 * What {@code gantry bench state} moves: threads that wait, half of them for each other and half of them for time, and one that measures its own gaps.
 *
 * <p>Arguments: directory for its files, how many threads, and after how many seconds to end by itself. Also ends when a file {@code stop} appears.
 */
public final class ManyThreads {
  private static final long STACK_BYTES = 64 << 10;
  private static final long REPORT_NS = 20_000_000;
  private static final long LONG_NS = 3_600_000_000_000L;

  private ManyThreads() {}

  public static void main(String[] arguments) throws Exception {
    Path directory = Path.of(arguments[0]);
    int count = Integer.parseInt(arguments[1]);
    long endNs = System.nanoTime() + Long.parseLong(arguments[2]) * 1_000_000_000;
    try (var status = new StatusFile(directory.resolve("status.json"))) {
      var clock = new GapClock();
      status.write("starting", 0, 0, "", clock.snapshot());
      var ready = new CountDownLatch(count);
      var never = new CountDownLatch(1);
      for (int i = 0; i < count; i++) {
        boolean timed = i % 2 == 0;
        var thread = new Thread(null, () -> await(ready, never, timed), "waits-" + i, STACK_BYTES);
        thread.setDaemon(true);
        thread.start();
      }
      ready.await();
      var clockThread = new Thread(clock, "clock");
      clockThread.setPriority(Thread.MAX_PRIORITY);
      clockThread.start();
      clock.reset();
      Path stop = directory.resolve("stop");
      for (long turn = 0; !Files.exists(stop) && System.nanoTime() < endNs; turn++) {
        status.write("running", turn, 0, "", clock.snapshot());
        LockSupport.parkNanos(REPORT_NS);
      }
      clock.stop();
      clockThread.join();
    }
  }

  private static void await(CountDownLatch ready, CountDownLatch never, boolean timed) {
    ready.countDown();
    try {
      if (timed) {
        while (true) {
          LockSupport.parkNanos(LONG_NS);
        }
      }
      never.await();
    } catch (InterruptedException end) {
      Thread.currentThread().interrupt();
    }
  }
}
