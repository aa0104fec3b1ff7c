package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.testing.Workload;
import java.io.UncheckedIOException;
import java.nio.file.NoSuchFileException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Programs with things that cannot be carried, each in namespaces like a container's. Needs root. */
@Timeout(60)
class StateSurveyTest {
  private static final Duration LIMIT = Duration.ofSeconds(10);

  private static List<Finding> survey(String what) {
    var command =
        List.of(
            "unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc", "--ipc", "--uts", "--propagation", "private",
            Workload.compile("obstacle").toString(), what);
    try (var workload = Workload.run(what, command)) {
      workload.awaitLine("ready", LIMIT);
      var pids = descendants(workload.pid());
      return StateSurvey.survey(pids);
    }
  }

  /** Java's own list leaves processes out whose main thread has ended. */
  private static List<Integer> descendants(int pid) {
    try {
      var found = new ArrayList<Integer>();
      for (String child : ProcText.read("/proc/" + pid + "/task/" + pid + "/children").split(" ")) {
        if (!child.isBlank()) {
          found.add(Integer.valueOf(child));
          found.addAll(descendants(Integer.parseInt(child)));
        }
      }
      return found;
    } catch (NoSuchFileException e) {
      throw new UncheckedIOException(e);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"none", "seccomp", "own-directory"})
  void ordinaryProgramCanBeCarried(String what) {
    assertThat(survey(what)).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(strings = {"sysv", "mqueue"})
  void objectOfTheContainersNamespaceCanBeCarried(String what) {
    assertThat(survey(what)).isEmpty();
  }

  @ParameterizedTest
  @CsvSource({
    "sysv-forced, System V IPC",
    "mount, mount",
    "cpu-timer, CPU-time timer",
    "deleted-directory, deleted directory",
    "threads-deleted-directory, deleted directory",
    "ended-main, ended main thread",
  })
  void whatCannotBeCarriedIsFoundWithoutStopping(String what, String kind) {
    assertThat(survey(what)).extracting(Finding::kind).containsOnly(kind);
  }

  /** What a process in the default group shows cannot be had at will: only what was started before the first session of the host is in it. */
  @Test
  void schedulingGroupIsOnlyInTheWayWhenItsNiceValueWasChanged() {
    assertThat(ProcessObstacles.hasWeight("")).isFalse();
    assertThat(ProcessObstacles.hasWeight("/autogroup-12574 nice 0")).isFalse();
    assertThat(ProcessObstacles.hasWeight("/autogroup-12574 nice 5")).isTrue();
  }

  @Test
  void nestedNamespaceOfAChildIsFound() {
    var command =
        List.of(
            "unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc", "--ipc", "--uts", "--propagation", "private",
            "sh", "-c", Workload.compile("obstacle") + " namespace & wait");
    try (var workload = Workload.run("nested", command)) {
      workload.awaitLine("ready", LIMIT);
      var pids = descendants(workload.pid());
      assertThat(StateSurvey.survey(pids)).extracting(Finding::kind).containsOnly("nested namespace");
    }
  }

  @Test
  void treeIsSeenWithTheIdsInside() {
    var command =
        List.of(
            "unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc",
            "sh", "-c", "setsid " + Workload.compile("obstacle") + " none & wait");
    try (var workload = Workload.run("tree", command)) {
      workload.awaitLine("ready", LIMIT);
      var pids = descendants(workload.pid());
      var tree = StateSurvey.tree(pids);
      assertThat(tree).extracting(TreeMember::pid).contains(1);
      var program = tree.stream().filter(member -> member.pid() != 1).findFirst().orElseThrow();
      assertThat(program.ppid()).isEqualTo(1);
      assertThat(program.sid()).isEqualTo(program.pid());
      assertThat(program.threads()).hasSize(2);
    }
  }
}
