package io.gantry.checkpoint.memory;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.testing.Workload;
import java.lang.management.ManagementFactory;
import org.junit.jupiter.api.Test;

/**
 * Needs root. Prints what it measured, in time of the one CPU that does the work of both ends: other work on the machine does not
 * count. Fails only when something is out of all proportion.
 */
class MemorySpeedTest {
  private static long cpuNs() {
    return ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
  }

  @Test
  void roundsAreFast() {
    try (var source = Workload.start("dirty", "1024", "0", "0");
        var move = new Move(source)) {
      source.awaitLine("ready", Move.LIMIT);
      long start = cpuNs();
      move.round();
      double seconds = (cpuNs() - start) / 1e9;
      System.out.printf("first round, 1 GiB, one thread for both ends: %.2f GB/s%n", 1.0737 / seconds);
      assertThat(seconds).isLessThan(5);
    }
  }

  @Test
  void lastRoundDoesNotGrowWithMemory() {
    for (int mib : new int[] {64, 1024}) {
      try (var source = Workload.start("dirty", String.valueOf(mib), "500", "1000");
          var move = new Move(source)) {
        source.awaitLine("ready", Move.LIMIT);
        move.round();
        for (int i = 0; i < 5; i++) {
          long at = cpuNs();
          var round = move.round();
          System.out.printf("%d MiB, round: %.2f ms, %d pages%n", mib, (cpuNs() - at) / 1e6, round.pages());
        }
        long at = cpuNs();
        long estimate = move.capture.dirtyEstimate();
        System.out.printf("%d MiB, estimate of %d pages: %.2f ms%n", mib, estimate, (cpuNs() - at) / 1e6);
        move.freeze();
        at = cpuNs();
        var last = move.last();
        double ms = (cpuNs() - at) / 1e6;
        long finish = cpuNs();
        move.finish();
        System.out.printf(
            "%d MiB and 500 mappings, last round: %.2f ms, %d pages; finish of the stub: %.2f ms%n",
            mib, ms, last.pages(), (cpuNs() - finish) / 1e6);
        assertThat(ms).isLessThan(500);
      }
    }
  }
}
