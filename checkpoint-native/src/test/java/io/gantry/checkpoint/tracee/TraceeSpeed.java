package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.testing.Workload;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;

/** Prints what stopping, injecting and making stubs cost on this machine: median and 95th percentile of repeated runs, in microseconds. */
final class TraceeSpeed {
  private static final Duration LIMIT = Duration.ofMinutes(1);
  private static final int RUNS = 60;

  private TraceeSpeed() {}

  private interface Timed {
    long nanoseconds();
  }

  public static void main(String[] arguments) throws Exception {
    try (var tracer = new TracerThread("tracer")) {
      for (int threads : new int[] {1, 50, 500}) {
        try (var workload = threads == 1 ? Workload.start("counter") : Workload.start("threads", Integer.toString(threads - 1))) {
          workload.awaitLine(threads == 1 ? "counted" : "rounds", LIMIT);
          tracer.run(
              () -> {
                long[] resumed = new long[1];
                long[] read = new long[1];
                report(threads + " threads: stop", () -> stop(workload.pid(), read, resumed));
                report(threads + " threads: stop, read, resume", () -> stop(workload.pid(), read, resumed) + read[0] + resumed[0]);
                report(threads + " threads: read registers, xsave, mask", () -> stop(workload.pid(), read, resumed) * 0 + read[0]);
                report(threads + " threads: resume", () -> stop(workload.pid(), read, resumed) * 0 + resumed[0]);
                report(threads + " threads: one call in each", () -> callEach(workload.pid()));
              },
              LIMIT);
        }
      }
      try (var workload = Workload.start("counter")) {
        workload.awaitLine("counted", LIMIT);
        tracer.run(
            () -> {
              report("stop one, one call, resume", () -> injectOne(workload.pid()));
              try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
                var thread = tree.processes().getFirst().anyThread();
                for (int calls : new int[] {1, 80}) {
                  report("captured process: batch of " + calls, () -> batch(thread, calls));
                }
              }
            },
            LIMIT);
      }
      stubs(tracer);
    }
  }

  private static void stubs(TracerThread tracer) throws Exception {
    var directory = Files.createTempDirectory("gantry-speed");
    var cgroup = Cgroup.create("speed-" + ProcessHandle.current().pid());
    try {
      tracer.run(
          () -> {
            report(
                "stub tree begin and discard",
                () -> {
                  long start = System.nanoTime();
                  StubTree.begin("speed", cgroup.path(), directory).close();
                  return System.nanoTime() - start;
                });
            report(
                "stub tree begin",
                () -> {
                  long start = System.nanoTime();
                  var tree = StubTree.begin("speed", cgroup.path(), directory);
                  long elapsed = System.nanoTime() - start;
                  tree.close();
                  return elapsed;
                });
            try (var tree = StubTree.begin("speed", cgroup.path(), directory)) {
              int[] next = {2};
              report(
                  "stub fork",
                  () -> {
                    long start = System.nanoTime();
                    tree.fork(tree.root(), next[0]++);
                    return System.nanoTime() - start;
                  });
              report("stub: batch of 1", () -> batch(tree.root(), 1));
              report("stub: batch of 500", () -> batch(tree.root(), 500));
            }
            report(
                "stub: 500 threads",
                () -> {
                  try (var tree = StubTree.begin("speed", cgroup.path(), directory)) {
                    long start = System.nanoTime();
                    tree.root().startThreads(IntStream.range(100, 600).toArray());
                    return System.nanoTime() - start;
                  }
                });
          },
          LIMIT);
    } finally {
      cgroup.kill();
      cgroup.awaitEmpty(LIMIT);
      cgroup.remove();
      Files.delete(directory);
    }
  }

  private static long stop(int pid, long[] read, long[] resumed) {
    long start = System.nanoTime();
    var tree = StoppedTree.stop(pid, LIMIT);
    long stopped = System.nanoTime();
    for (var thread : tree.processes().getFirst().threads()) {
      thread.xsave();
      thread.signalMask();
    }
    long done = System.nanoTime();
    tree.resume();
    read[0] = done - stopped;
    resumed[0] = System.nanoTime() - done;
    LockSupport.parkNanos(5_000_000);
    return stopped - start;
  }

  private static long callEach(int pid) {
    try (var tree = StoppedTree.stop(pid, LIMIT)) {
      long start = System.nanoTime();
      for (var thread : tree.processes().getFirst().threads()) {
        thread.call("gettid", SyscallNumber.GETTID);
      }
      return System.nanoTime() - start;
    } finally {
      LockSupport.parkNanos(5_000_000);
    }
  }

  private static long injectOne(int pid) {
    long start = System.nanoTime();
    try (var thread = StoppedThread.stopOne(pid, LIMIT)) {
      thread.call("getpid", SyscallNumber.GETPID);
    }
    return System.nanoTime() - start;
  }

  private static long batch(RemoteTask task, int calls) {
    long start = System.nanoTime();
    var batch = task.newBatch();
    for (int i = 0; i < calls; i++) {
      batch.call("getpid", SyscallNumber.GETPID);
    }
    task.run(batch);
    return System.nanoTime() - start;
  }

  private static void report(String what, Timed timed) {
    long[] times = new long[RUNS];
    for (int i = 0; i < 30; i++) {
      timed.nanoseconds();
    }
    var threads = ManagementFactory.getThreadMXBean();
    long before = threads.getCurrentThreadCpuTime();
    for (int i = 0; i < RUNS; i++) {
      times[i] = timed.nanoseconds();
    }
    long processor = (threads.getCurrentThreadCpuTime() - before) / RUNS;
    Arrays.sort(times);
    System.out.printf("%-45s p50 %8.1f  p95 %8.1f  tracer's processor time %8.1f%n", what, times[RUNS / 2] / 1e3, times[RUNS * 95 / 100] / 1e3, processor / 1e3);
  }
}
