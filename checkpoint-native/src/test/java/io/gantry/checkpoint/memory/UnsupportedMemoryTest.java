package io.gantry.checkpoint.memory;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.testing.Workload;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Needs root. */
class UnsupportedMemoryTest {
  @TempDir Path directory;

  private List<Finding> findings(String how) {
    try (var workload = Workload.start("lost_mapping", how, directory.toString())) {
      workload.awaitLine("ready", Move.LIMIT);
      return UnsupportedMemory.of(workload.pid());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"deleted", "linked-here"})
  void mappingOfADeletedFileCanBeCarried(String how) {
    assertThat(findings(how)).isEmpty();
  }

  @Test
  void fileWhoseOtherNameIsSomewhereElseIsFound() {
    assertThat(findings("linked-elsewhere"))
        .singleElement()
        .satisfies(
            finding -> {
              assertThat(finding.kind()).isEqualTo("deleted file");
              assertThat(finding.sentence()).contains("name " + directory.resolve("mapped") + " was removed", "none of its 1 other names");
            });
  }

  @Test
  void anonymousHugePagesCanBeCarried() {
    assertThat(findings("huge-anonymous")).isEmpty();
  }

  @Test
  void hugePagesOfAFileAreFound() {
    assertThat(findings("huge-file"))
        .singleElement()
        .satisfies(
            finding -> {
              assertThat(finding.kind()).isEqualTo("hugetlb memory");
              assertThat(finding.sentence())
                  .contains(
                      "/huge/file) is a file of a hugetlbfs mount, whose content no other host has; memory of mmap(MAP_HUGETLB) and memfd_create(MFD_HUGETLB) can be carried");
            });
  }

  @Test
  void programThatLivesInTheKernelOnlyIsFound() {
    assertThat(findings("program-in-memory"))
        .singleElement()
        .satisfies(
            finding -> {
              assertThat(finding.kind()).isEqualTo("deleted program");
              assertThat(finding.sentence()).isEqualTo("the program it runs is /memfd:in-memory, which lives in the kernel only and cannot be carried");
            });
  }
}
