package io.gantry.checkpoint.state;

import io.gantry.checkpoint.testing.Workload;
import io.gantry.checkpoint.tracee.StoppedTree;
import io.gantry.checkpoint.tracee.TracerThread;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.time.Duration;

/** Prints how long capturing takes; run by hand. */
final class StateSpeed {
  private static final Duration LIMIT = Duration.ofSeconds(30);

  private static final ThreadMXBean CPU = ManagementFactory.getThreadMXBean();

  private StateSpeed() {}

  public static void main(String[] arguments) {
    var tracer = new TracerThread("tracer");
    for (int threads : new int[] {1, 50, 500, 500}) {
      try (var workload = Workload.start("state", "full", Integer.toString(threads - 1))) {
        workload.awaitLine("ready", LIMIT);
        for (int turn = 0; turn < 60; turn++) {
          int number = turn;
          tracer.run(
              () -> {
                long start = System.nanoTime();
                try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
                  long stopped = System.nanoTime();
                  long cpu = CPU.getCurrentThreadCpuTime();
                  var state = StateCapture.capture(tree, start).build();
                  long captured = System.nanoTime();
                  double cpuMs = (CPU.getCurrentThreadCpuTime() - cpu) / 1e6;
                  if (number > 55) {
                    System.out.printf(
                        "%d threads: stop %.1f ms, capture %.1f ms (tracer's CPU %.1f ms), %d bytes%n",
                        threads, (stopped - start) / 1e6, (captured - stopped) / 1e6, cpuMs, state.getSerializedSize());
                  }
                }
              },
              LIMIT);
        }
      }
    }
    tracer.close();
  }
}
