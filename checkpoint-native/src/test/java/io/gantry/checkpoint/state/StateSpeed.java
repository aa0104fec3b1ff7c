package io.gantry.checkpoint.state;

import io.gantry.checkpoint.testing.Workload;
import io.gantry.checkpoint.tracee.StoppedTree;
import io.gantry.checkpoint.tracee.TracerThread;
import java.time.Duration;

/** Prints how long capturing takes; run by hand. */
final class StateSpeed {
  private static final Duration LIMIT = Duration.ofSeconds(30);

  private StateSpeed() {}

  public static void main(String[] arguments) {
    var tracer = new TracerThread("tracer");
    for (int threads : new int[] {1, 50, 500, 500}) {
      try (var workload = Workload.start("state", "full", Integer.toString(threads - 1))) {
        workload.awaitLine("ready", LIMIT);
        for (int turn = 0; turn < 12; turn++) {
          int number = turn;
          tracer.run(
              () -> {
                long start = System.nanoTime();
                try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
                  long stopped = System.nanoTime();
                  var state = StateCapture.capture(tree, start).build();
                  long captured = System.nanoTime();
                  if (number > 8) {
                    System.out.printf(
                        "%d threads: stop %.1f ms, capture %.1f ms, %d bytes%n",
                        threads, (stopped - start) / 1e6, (captured - stopped) / 1e6, state.getSerializedSize());
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
