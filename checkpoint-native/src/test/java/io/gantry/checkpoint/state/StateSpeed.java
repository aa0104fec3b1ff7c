package io.gantry.checkpoint.state;

import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.testing.Workload;
import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.checkpoint.tracee.StoppedTree;
import io.gantry.checkpoint.tracee.StubTree;
import io.gantry.checkpoint.tracee.TracerThread;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;

/** Prints how long capturing and recreating take, in real time and in processor time of the tracer; run by hand. */
final class StateSpeed {
  private static final Duration LIMIT = Duration.ofSeconds(30);
  private static final int WARM_UP = 40;
  private static final int TURNS = 21;

  private static final ThreadMXBean CPU = ManagementFactory.getThreadMXBean();

  private StateSpeed() {}

  public static void main(String[] arguments) throws IOException {
    var tracer = new TracerThread("tracer");
    var directory = Files.createTempDirectory("gantry-speed");
    var cgroup = Cgroup.create("speed-" + ProcessHandle.current().pid());
    try {
      for (int threads : new int[] {1, 50, 500}) {
        measure(tracer, cgroup, directory, threads);
      }
    } finally {
      tracer.close();
      cgroup.kill();
      cgroup.awaitEmpty(LIMIT);
      cgroup.remove();
      Files.delete(directory);
    }
  }

  private static void measure(TracerThread tracer, Cgroup cgroup, Path directory, int threads) {
    var capture = new Figures();
    var recreate = new Figures();
    try (var workload = Workload.start("state", "full", Integer.toString(threads - 1))) {
      Pausing.await(workload, LIMIT);
      for (int turn = 0; turn < WARM_UP + TURNS; turn++) {
        boolean counts = turn >= WARM_UP;
        tracer.run(
            () -> {
              process_state state;
              long start = System.nanoTime();
              try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
                capture.begin();
                state = StateCapture.capture(tree, start).getProcesses(0);
                capture.end(counts);
              }
              try (var tree = StubTree.begin("speed", cgroup.path(), directory)) {
                var wanted = StubbedState.renumbered(state);
                var arrival = new ProcessStateArrival(wanted, StubbedState.startThreads(tree.root(), wanted));
                recreate.begin();
                arrival.recreate();
                arrival.rearmCalls();
                arrival.armAndSetRegisters();
                recreate.end(counts);
              }
            },
            LIMIT);
      }
    }
    System.out.printf("%d threads: capture %s, recreate %s%n", threads, capture, recreate);
  }

  /** Of several turns. */
  private static final class Figures {
    private final double[] wallMs = new double[TURNS];
    private final double[] cpuMs = new double[TURNS];
    private int count;
    private long wall;
    private long cpu;

    void begin() {
      wall = System.nanoTime();
      cpu = CPU.getCurrentThreadCpuTime();
    }

    void end(boolean counts) {
      if (counts) {
        wallMs[count] = (System.nanoTime() - wall) / 1e6;
        cpuMs[count] = (CPU.getCurrentThreadCpuTime() - cpu) / 1e6;
        count++;
      }
    }

    @Override
    public String toString() {
      Arrays.sort(wallMs);
      Arrays.sort(cpuMs);
      return "%.1f ms at best, %.1f in the middle (tracer %.1f ms)".formatted(wallMs[0], wallMs[TURNS / 2], cpuMs[TURNS / 2]);
    }
  }
}
