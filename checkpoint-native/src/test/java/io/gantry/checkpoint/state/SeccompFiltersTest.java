package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class SeccompFiltersTest {
  @Test
  void whatAllThreadsHaveInCommonIsThePartBeforeTheyParted() {
    assertThat(SeccompFilters.common(List.of(List.of(0, 1, 2), List.of(0, 1, 3), List.of(0, 1)))).isEqualTo(2);
    assertThat(SeccompFilters.common(List.of(List.of(0, 1), List.of(0, 1)))).isEqualTo(2);
    assertThat(SeccompFilters.common(List.of(List.of(0), List.of(1)))).isZero();
    assertThat(SeccompFilters.common(List.of(List.of(0), List.of()))).isZero();
  }
}
