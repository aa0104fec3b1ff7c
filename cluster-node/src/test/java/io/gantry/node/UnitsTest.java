package io.gantry.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class UnitsTest {
  @Test
  void sizesArePowersOf1024() {
    assertThat(Units.parseBytes("64M")).isEqualTo(64L << 20);
    assertThat(Units.parseBytes("1G")).isEqualTo(1L << 30);
    assertThat(Units.parseBytes("1.5 GiB")).isEqualTo(3L << 29);
    assertThat(Units.parseBytes("4096")).isEqualTo(4096);
  }

  @Test
  void durationsNeedAUnit() {
    assertThat(Units.parseDuration("20ms")).isEqualTo(Duration.ofMillis(20));
    assertThat(Units.parseDuration("1.5s")).isEqualTo(Duration.ofMillis(1500));
    assertThatThrownBy(() -> Units.parseDuration("20")).hasMessageContaining("20ms");
  }

  @Test
  void nonsenseIsExplained() {
    assertThatThrownBy(() -> Units.parseBytes("a lot")).hasMessageContaining("'a lot'").hasMessageContaining("64M");
    assertThatThrownBy(() -> Units.parseBytes("-1G")).isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void figuresAreReadable() {
    assertThat(Units.bytes(812)).isEqualTo("812 B");
    assertThat(Units.bytes(1.5 * (1 << 20))).isEqualTo("1.5 MiB");
    assertThat(Units.millis(7.34)).isEqualTo("7.3 ms");
    assertThat(Units.millis(1234)).isEqualTo("1.23 s");
    assertThat(Units.count(1234567)).isEqualTo("1,234,567");
  }
}
