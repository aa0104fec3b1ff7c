package io.gantry.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.linux.Directory;
import io.gantry.checkpoint.linux.PidNamespace;
import io.gantry.checkpoint.state.TreeStep;
import io.gantry.checkpoint.testing.StubHost;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Plans that processes overtake by ending. Stubs are real processes. Needs root. */
@Timeout(60)
class StubBuilderTest {
  private static final Duration LIMIT = Duration.ofSeconds(10);

  @RegisterExtension final StubHost box = new StubHost();

  private StubBuilder builder() {
    return new StubBuilder(() -> box.begin(), index -> {});
  }

  /** The plan was made when it lived, the memory was read when it did not live any more, nor the child that it should have borne. */
  @Test
  void aParentThatEndsWhileTheRoundIsMadeTakesItsUnbornChildAlong() {
    box.tracer().run(
        () -> {
          try (var builder = builder()) {
            builder.plan(List.of(new TreeStep.Fork(0, 1, false), new TreeStep.Fork(1, 5, false)), Map.of());
            builder.forMemory().stub(1);
            builder.forMemory().fork(1, 5);
            builder.finishPlan();
            builder.keepOnly(List.of(1, 5));
            builder.plan(List.of(new TreeStep.Fork(5, 7, false), new TreeStep.SetPgid(5, 5), new TreeStep.Fork(1, 9, false)), Map.of());
            builder.forMemory().remove(5);
            builder.forMemory().fork(1, 9);
            builder.finishPlan();
            builder.keepOnly(List.of(1, 9));
            assertThat(builder.tree().stubs()).extracting(stub -> stub.nsPid()).containsExactlyInAnyOrder(1, 9);
          }
        },
        LIMIT);
  }

  /** It has no memory any more, so memory gives it up; it stays to become a zombie. */
  @Test
  void aZombieKeepsItsStubUntilTheEnd() {
    box.tracer().run(
        () -> {
          try (var builder = builder()) {
            builder.plan(List.of(new TreeStep.Fork(0, 1, false), new TreeStep.Fork(1, 5, false)), Map.of());
            builder.finishPlan();
            builder.keepOnly(List.of(1, 5));
            builder.plan(List.of(new TreeStep.Fork(1, 6, false), new TreeStep.BecomeZombie(5), new TreeStep.BecomeZombie(6)), Map.of());
            builder.forMemory().remove(5);
            builder.finishPlan();
            builder.keepOnly(List.of(1));
            assertThat(builder.tree().stubs()).extracting(stub -> stub.nsPid()).containsExactlyInAnyOrder(1, 5, 6);
            assertThat(builder.zombies()).containsExactlyInAnyOrder(5, 6);
          }
        },
        LIMIT);
  }

  /** They are made while the container runs, and follow what it starts and ends until then. */
  @Test
  void threadsOfAProcessAreFollowed() {
    box.tracer().run(
        () -> {
          try (var builder = builder()) {
            builder.plan(List.of(new TreeStep.Fork(0, 1, false), new TreeStep.Fork(1, 5, false)), Map.of(1, new int[] {2, 3}, 5, new int[] {6}));
            builder.finishPlan();
            assertThat(threads(builder, 1)).containsExactly(1, 2, 3);
            assertThat(threads(builder, 5)).containsExactly(5, 6);
            // Thread 3 has ended, and its id is a process's now; 6 goes on; process 7 has a thread from the beginning.
            builder.plan(List.of(new TreeStep.Fork(5, 3, false), new TreeStep.Fork(5, 7, false)), Map.of(1, new int[] {4, 2}, 5, new int[] {6}, 7, new int[] {8}));
            builder.finishPlan();
            builder.keepOnly(List.of(1, 3, 5, 7));
            assertThat(threads(builder, 1)).containsExactly(1, 2, 4);
            assertThat(threads(builder, 3)).containsExactly(3);
            assertThat(threads(builder, 5)).containsExactly(5, 6);
            assertThat(threads(builder, 7)).containsExactly(7, 8);
            var before = builder.find(1).runs();
            assertThat(builder.find(1).haveThreads(new int[] {2, 4})).extracting(thread -> thread.nsTid()).containsExactly(2, 4);
            assertThat(builder.find(1).runs()).as("nothing was left to do").isEqualTo(before);
            builder.plan(List.of(), Map.of());
            assertThat(threads(builder, 1)).containsExactly(1);
            assertThat(threads(builder, 7)).containsExactly(7);
          }
        },
        LIMIT);
  }

  /** As the container counts them, sorted. */
  private static List<Integer> threads(StubBuilder builder, int pid) {
    int host = builder.find(pid).pid();
    try (var namespace = PidNamespace.of(host)) {
      return Arrays.stream(Directory.numbers("/proc/" + host + "/task")).map(namespace::tidInside).sorted().boxed().toList();
    }
  }
}
