package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.image.final_state;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.testing.Workload;
import io.gantry.checkpoint.tracee.StoppedTree;
import io.gantry.checkpoint.tracee.TracerThread;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Process state carried from one real process into another. Needs root. */
@Timeout(60)
class StateArrivalTest {
  private static final Duration LIMIT = Duration.ofSeconds(10);

  private final TracerThread tracer = new TracerThread("tracer of a test");

  @AfterEach
  void closeTracer() {
    tracer.close();
  }

  /** Two runs of one program at the same addresses. */
  private static Workload start(String kind, int threads) {
    var program = Workload.compile("state").toString();
    var workload =
        Workload.run("state " + kind, List.of("setarch", "-R", program, kind, Integer.toString(threads)));
    Pausing.await(workload, LIMIT);
    return workload;
  }

  private process_state capture(Workload workload) {
    return tracer.call(
        () -> {
          long now = System.nanoTime();
          try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
            return StateCapture.capture(tree, now).getProcesses(0);
          }
        },
        LIMIT);
  }

  /** The state of one process as if it were another, which also has its restartable sequences registered already. */
  private static process_state adapted(process_state state, process_state other) {
    var adapted = state.toBuilder().setTree(other.getTree());
    adapted.getThreadsBuilder(0).setIds(other.getThreads(0).getIds());
    adapted.getThreadsBuilderList().forEach(thread -> thread.getThreadCoreBuilder().clearRseqEntry());
    return adapted.build();
  }

  private static byte[] canonical(process_state state) {
    return StateDigest.canonical(final_state.newBuilder().addProcesses(state).build());
  }

  @Test
  void captureOfWhatWasRecreatedEqualsWhatWasCaptured() {
    try (var source = start("full", 7);
        var destination = start("blank", 7)) {
      var captured = adapted(capture(source), capture(destination));
      tracer.run(
          () -> {
            try (var tree = StoppedTree.stop(destination.pid(), LIMIT)) {
              var arrival = new ProcessStateArrival(captured, tree.processes().getFirst().threads());
              arrival.recreate();
              arrival.armAndSetRegisters();
            }
          },
          LIMIT);
      var again = capture(destination);
      var recaptured = adapted(again, again);
      assertThat(canonical(recaptured))
          .as("captured: %s%nrecaptured: %s", captured, recaptured)
          .isEqualTo(canonical(captured));
      assertThat(destination.alive()).isTrue();
    }
  }
}
