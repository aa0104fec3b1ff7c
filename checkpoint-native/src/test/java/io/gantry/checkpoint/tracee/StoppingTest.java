package io.gantry.checkpoint.tracee;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.testing.Workload;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Stopping and letting go of real processes. Needs root. */
@Timeout(60)
class StoppingTest {
  private static final Duration LIMIT = Duration.ofSeconds(10);

  private final TracerThread tracer = new TracerThread("tracer of a test");

  @AfterEach
  void closeTracer() {
    tracer.close();
  }

  private static char state(int pid) {
    return TaskStatus.read(Integer.toString(pid)).orElseThrow().state();
  }

  @Test
  void aStoppedProcessStaysStopped() {
    try (var workload = Workload.start("counter")) {
      workload.awaitLine("counted", LIMIT);
      Signals.kill(workload.pid(), Signals.SIGSTOP);
      await().atMost(LIMIT).until(() -> state(workload.pid()) == 'T');
      tracer.run(
          () -> {
            for (int i = 0; i < 5; i++) {
              try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
                assertThat(tree.processes().getFirst().groupStopSignal()).isEqualTo(Signals.SIGSTOP);
                assertThat(tree.processes().getFirst().anyThread().call("getpid", SyscallNumber.GETPID)).isEqualTo(workload.pid());
              }
            }
          },
          LIMIT);
      await().atMost(LIMIT).until(() -> state(workload.pid()) == 'T');
      int lines = workload.lines().size();
      Signals.kill(workload.pid(), Signals.SIGCONT);
      workload.awaitLine(lines, line -> line.startsWith("counted"), "more", LIMIT);
    }
  }

  @Test
  void aParentInVforkIsStoppedToo() {
    try (var workload = Workload.start("vforks")) {
      workload.awaitLine("started", LIMIT);
      tracer.run(
          () -> {
            for (int i = 0; i < 100; i++) {
              try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
                assertThat(tree.process(workload.pid())).isPresent();
              }
              LockSupport.parkNanos(1_000_000 + i * 10_000);
            }
          },
          LIMIT);
      int lines = workload.lines().size();
      workload.awaitLine(lines + 1, line -> line.startsWith("started"), "more", LIMIT);
      assertThat(workload.lines()).noneMatch(line -> line.startsWith("error"));
    }
  }

  @Test
  void aTreeIsStoppedWithItsZombies() {
    // The first child ends at once and is never waited for.
    var script = List.of("python3", "-c", "import os,time\nif os.fork()==0: os._exit(3)\nif os.fork()==0: time.sleep(100)\ntime.sleep(100)");
    try (var workload = Workload.run("a tree", script)) {
      await().atMost(LIMIT).until(() -> ProcessList.children(workload.pid()).size() == 2);
      await().atMost(LIMIT).until(() -> ProcessList.children(workload.pid()).stream().anyMatch(pid -> state(pid) == 'Z'));
      tracer.run(
          () -> {
            try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
              assertThat(tree.processes()).hasSize(2);
              assertThat(tree.zombies()).singleElement().satisfies(zombie -> assertThat(zombie.parentPid()).isEqualTo(workload.pid()));
            }
          },
          LIMIT);
    }
  }

  @Test
  void aProcessThatIsKilledWhileItStandsStillIsNoError() {
    try (var workload = Workload.start("counter")) {
      workload.awaitLine("ready", LIMIT);
      tracer.run(
          () -> {
            var tree = StoppedTree.stop(workload.pid(), LIMIT);
            var thread = tree.processes().getFirst().anyThread();
            thread.call("getpid", SyscallNumber.GETPID);
            Signals.kill(workload.pid(), Signals.SIGKILL);
            await().atMost(LIMIT).until(() -> state(workload.pid()) == 'Z');
            tree.resume();
          },
          LIMIT);
      assertThat(workload.awaitExit(LIMIT)).isEqualTo(128 + Signals.SIGKILL);
    }
  }

  @Test
  void whatCannotBeStoppedIsASentence() {
    try (var workload = Workload.start("counter")) {
      workload.awaitLine("ready", LIMIT);
      try (var other = new TracerThread("other tracer")) {
        var held = other.call(() -> StoppedTree.stop(workload.pid(), LIMIT), LIMIT);
        tracer.run(
            () ->
                assertThatThrownBy(() -> StoppedTree.stop(workload.pid(), LIMIT))
                    .hasMessageContaining("is being traced by process")
                    .hasMessageContaining(Integer.toString(workload.pid())),
            LIMIT);
        other.run(held::resume, LIMIT);
      }
    }
    tracer.run(
        () -> assertThatThrownBy(() -> StoppedTree.stop(4_000_000, LIMIT)).hasMessageContaining("no living process"), LIMIT);
  }

  @Test
  void theTracerThreadSurvivesWhatItsWorkThrows() {
    assertThatThrownBy(() -> tracer.run(() -> Integer.parseInt("no number"), LIMIT)).isInstanceOf(NumberFormatException.class);
    assertThat(tracer.call(() -> 5, LIMIT)).isEqualTo(5);
  }
}
