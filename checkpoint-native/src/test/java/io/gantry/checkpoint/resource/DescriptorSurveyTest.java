package io.gantry.checkpoint.resource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.RefusedException;
import io.gantry.checkpoint.testing.Workload;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DescriptorSurveyTest {
  @ParameterizedTest
  @ValueSource(
      strings = {
        "inotify",
        "signalfd",
        "pidfd",
        "userfaultfd",
        "netlink socket",
        "raw socket",
        "terminal",
        "mnt namespace",
        "file of /proc",
        "file lock (flock)",
        "file lock (POSIX)",
        "regular file",
        "TCP connection",
        "listening TCP socket",
        "UDP socket",
        "Unix socket"
      })
  void whatCannotBeCarriedIsNamedWithProcessAndDescriptor(String kind, @TempDir Path directory) {
    try (var move = Move.begin(kind, directory)) {
      int pid = move.processes().getFirst().pid();
      var survey = DescriptorSurvey.survey(List.of(pid));
      assertThat(survey.findings())
          .anySatisfy(
              finding -> {
                assertThat(finding.pid()).isEqualTo(pid);
                assertThat(finding.descriptor()).isEqualTo(10);
                assertThat(finding.kind()).isEqualTo(kind);
                assertThat(finding.sentence()).isNotBlank();
              });
      assertThatThrownBy(move::capture)
          .isInstanceOfSatisfying(
              RefusedException.class,
              refused -> assertThat(refused.findings()).extracting(Finding::kind).contains(kind));
    }
  }

  @Test
  void listsFilesAndPortsOfWhatCanBeCarried(@TempDir Path directory) {
    try (var move = Move.begin("tcp", directory)) {
      var survey = DescriptorSurvey.survey(List.of(move.processes().getFirst().pid()));
      assertThat(survey.findings()).isEmpty();
      assertThat(survey.descriptors()).isEqualTo(7);
      assertThat(survey.listeningPorts()).hasSize(2).anyMatch(port -> port.startsWith("tcp 127.0.0.1:"));
      assertThat(survey.listeningPorts()).anyMatch(port -> port.matches("tcp6only \\[0:0:0:0:0:0:0:1]:\\d+"));
      assertThat(survey.files())
          .anySatisfy(
              file -> {
                assertThat(file.path()).contains("/descriptors-");
                assertThat(file.buildId()).matches("[0-9a-f]{40}");
                assertThat(file.sizeBytes()).isPositive();
              });
    }
  }

  @Test
  void aPipeToTheOutsideIsFound() {
    try (var workload = Workload.run("sleep", List.of("sleep", "100"))) {
      Awaitility.await()
          .atMost(Duration.ofSeconds(10))
          .until(() -> Move.linkOf(workload.pid(), 1).startsWith("pipe:"));
      assertThat(DescriptorSurvey.survey(List.of(workload.pid())).findings())
          .anyMatch(finding -> finding.descriptor() == 1 && finding.sentence().contains("not part of the container"));
    }
  }

  @Test
  void aProcessThatIsGoneHasNothing() {
    var survey = DescriptorSurvey.survey(List.of(Integer.MAX_VALUE - 1));
    assertThat(survey.descriptors()).isZero();
    assertThat(survey.findings()).isEmpty();
  }
}
