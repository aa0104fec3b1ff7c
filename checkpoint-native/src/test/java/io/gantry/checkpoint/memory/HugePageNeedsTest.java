package io.gantry.checkpoint.memory;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.Footprint.HugePageUse;
import io.gantry.checkpoint.testing.Workload;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HugePageNeedsTest {
  private static final long SIZE = 2 << 20;

  @TempDir Path directory;

  @Test
  void whatProcessesHaveMappedCountsOnce() {
    try (var workload = Workload.start("lost_mapping", "huge-anonymous", directory.toString())) {
      workload.awaitLine("ready", Move.LIMIT);
      assertThat(HugePageNeeds.of(List.of(workload.pid(), workload.pid()))).containsExactly(new HugePageUse(SIZE, 3));
    }
  }

  @Test
  void hostWithFewerIsNoDestination() {
    assertThat(HugePageNeeds.obstacle(new HugePageUse(SIZE, 5), 5)).isEmpty();
    assertThat(HugePageNeeds.obstacle(new HugePageUse(SIZE, 5), 4))
        .contains("the container needs 5 huge pages of 2048 kB, and this host has 4 that are neither in use nor reserved; raise vm.nr_hugepages");
  }

  @Test
  void sizeThatThisHostHasNotIsNotThere() {
    assertThat(HugePageNeeds.obstacles(List.of(new HugePageUse(3 << 20, 1)))).singleElement().asString().contains("this host has 0");
    assertThat(HugePageNeeds.obstacles(List.of())).isEmpty();
  }
}
