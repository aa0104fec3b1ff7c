package io.gantry.checkpoint.procfs;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ProcessorListTest {
  @Test
  void rangesAndSingleNumbersAreRead() {
    assertThat(ProcessorList.parse("0-2,5,8-9")).containsExactly(0, 1, 2, 5, 8, 9);
    assertThat(ProcessorList.parse("0")).containsExactly(0);
  }

  @Test
  void thisMachineHasAtLeastTheProcessorsItUses() {
    assertThat(ProcessorList.possible()).hasSizeGreaterThanOrEqualTo(Runtime.getRuntime().availableProcessors());
  }
}
