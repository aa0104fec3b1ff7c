package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.image.interrupted_call_entry;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.testing.Workload;
import io.gantry.checkpoint.tracee.StoppedTree;
import io.gantry.checkpoint.tracee.TracerThread;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The time that is left of real waits. Needs root. */
@Timeout(60)
class TimeLeftTest {
  private static final Duration LIMIT = Duration.ofSeconds(10);
  private static final int SECONDS = 30;
  private static final long SLACK_NS = TimeUnit.MILLISECONDS.toNanos(900);

  private final TracerThread tracer = new TracerThread("tracer of a test");

  @AfterEach
  void closeTracer() {
    tracer.close();
  }

  private Map<Integer, Long> timeLeft(Workload workload) {
    process_state state =
        tracer.call(
            () -> {
              long now = System.nanoTime();
              try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
                return StateCapture.capture(tree, now).getProcesses(0);
              }
            },
            LIMIT);
    return state.getThreadsList().stream()
        .filter(thread -> thread.getThreadCore().hasInterruptedCall())
        .map(thread -> thread.getThreadCore().getInterruptedCall())
        .collect(
            Collectors.toMap(interrupted_call_entry::getNumber, interrupted_call_entry::getNanosecondsLeft, Math::min));
  }

  @Test
  void timeLeftShrinksFromStopToStopAlthoughTheKernelForgetsWhichCallItIs() {
    try (var workload = Workload.start("timed")) {
      workload.awaitLine("ready", LIMIT);
      long begin = System.nanoTime();
      for (int stop = 0; stop < 3; stop++) {
        int number = stop;
        Awaitility.await().atMost(LIMIT).until(() -> System.nanoTime() - begin > number * 600_000_000L);
        var left = timeLeft(workload);
        long expected = SECONDS * 1_000_000_000L - (System.nanoTime() - begin);
        for (int call : List.of(35, 230, 7, 202)) {
          assertThat(left).as("stop %d", stop).containsKey(call);
          assertThat(left.get(call)).as("stop %d, call %d", stop, call).isBetween(expected - SLACK_NS, expected + SLACK_NS / 2);
        }
      }
    }
  }
}
