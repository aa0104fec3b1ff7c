package io.gantry.checkpoint.linux;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.linux.TimeNamespace.Offsets;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class TimeNamespaceTest {
  @Test
  void readsOffsetsAsTheKernelWritesThem() {
    byte[] text = "monotonic         100    500000000\nboottime           -3   999999999\n".getBytes(StandardCharsets.US_ASCII);
    assertThat(TimeNamespace.parse(text)).isEqualTo(new Offsets(100_500_000_000L, -2_000_000_001L));
    assertThat(TimeNamespace.ofChildren("self")).isEqualTo(TimeNamespace.ofChildren(Long.toString(ProcessHandle.current().pid())));
  }

  @Test
  void anyClockThatIsBehindCounts() {
    assertThat(new Offsets(5, 5).isBehind(new Offsets(5, 5))).isFalse();
    assertThat(new Offsets(5, 4).isBehind(new Offsets(5, 5))).isTrue();
    assertThat(new Offsets(4, 9).isBehind(new Offsets(5, 5))).isTrue();
    assertThat(new Offsets(4, 4).plus(1)).isEqualTo(new Offsets(5, 5));
  }

  @Test
  void clocksAreThoseOfThisProcess() {
    long before = System.nanoTime();
    assertThat(TimeNamespace.monotonicNs()).isBetween(before, before + 10_000_000_000L);
    assertThat(TimeNamespace.boottimeNs()).isGreaterThanOrEqualTo(before);
  }
}
