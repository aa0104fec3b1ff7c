package io.gantry.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class NetworkSpecTest {
  @Test
  void allPartsAreRead() {
    assertThat(NetworkSpec.parse("bridge=br0,address=10.9.0.5/24,address=fd00::5/64,gateway=10.9.0.1,mac=02:00:00:00:00:0A,mtu=1400"))
        .isEqualTo(
            new NetworkSpec("br0", List.of("10.9.0.5/24", "fd00:0:0:0:0:0:0:5/64"), List.of("10.9.0.1"), Optional.of("02:00:00:00:00:0a"), OptionalInt.of(1400)));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "bridge=br0",
        "address=10.9.0.5/24",
        "bridge=br0,address=10.9.0.5",
        "bridge=br0,address=10.9.0.5/33",
        "bridge=br0,address=host/24",
        "bridge=br0;reboot,address=10.9.0.5/24",
        "bridge=a-name-of-more-than-15,address=10.9.0.5/24",
        "bridge=br0,address=10.9.0.5/24,mtu=67",
        "bridge=br0,address=10.9.0.5/24,mac=01:00:00:00:00:05",
        "bridge=br0,address=10.9.0.5/24,color=blue"
      })
  void whatIsWrongIsRefusedWithASentence(String text) {
    assertThatThrownBy(() -> NetworkSpec.parse(text)).isInstanceOf(IllegalArgumentException.class).hasMessageEndingWith(".");
  }
}
