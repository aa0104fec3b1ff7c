package io.gantry.checkpoint.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

class WorkloadTest {
  @Test
  void compilesStartsListensAndKills() {
    Workload workload = Workload.start("counter");
    try (workload) {
      assertThat(workload.awaitLine("ready", Duration.ofSeconds(10))).isEqualTo("ready " + workload.pid());
      assertThat(workload.awaitLine("counted", Duration.ofSeconds(10))).isNotBlank();
    }
    assertThat(workload.alive()).isFalse();
  }

  @Test
  void saysWhatWasWrittenWhenALineDoesNotCome() {
    try (var workload = Workload.run("echo", List.of("echo", "hello"))) {
      workload.awaitLine("hello", Duration.ofSeconds(10));
      assertThatThrownBy(() -> workload.awaitLine("never", Duration.ofMillis(50))).hasMessageContaining("[hello]");
    }
  }
}
