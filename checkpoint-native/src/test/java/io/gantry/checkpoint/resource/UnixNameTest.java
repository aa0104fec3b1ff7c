package io.gantry.checkpoint.resource;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class UnixNameTest {
  private static UnixName path(String text) {
    return new UnixName(text.getBytes(StandardCharsets.UTF_8));
  }

  @Test
  void aPathLosesItsFinalZeroByteAndAnAbstractNameKeepsAll() {
    var bound = UnixName.parse(new byte[] {1, 0, 'a', '/', 'b', 0});
    assertThat(bound.isPath()).isTrue();
    assertThat(bound.text()).isEqualTo("a/b");
    assertThat(bound.raw()).containsExactly(1, 0, 'a', '/', 'b');
    var hidden = UnixName.parse(new byte[] {1, 0, 0, 'x', 0, 0});
    assertThat(hidden.isAbstract()).isTrue();
    assertThat(hidden.text()).isEqualTo("@x@@");
    assertThat(hidden.raw()).containsExactly(1, 0, 0, 'x', 0, 0);
    assertThat(UnixName.parse(new byte[] {1, 0}).isNone()).isTrue();
  }

  @Test
  void everyWayToWriteAPathLeadsSomewhereBelowTheHiddenDirectory() {
    assertThat(path("/run//app/./sock").steps()).containsExactly("run", "app", "sock");
    assertThat(path("../../sock").steps()).containsExactly("sock");
    assertThat(path("a/../b/sock").steps()).containsExactly("b", "sock");
    assertThat(path("a/../b/sock").directories()).containsExactly("a", "b");
    assertThat(path("/run//app/./sock").directories()).containsExactly("run", "run/app");
    assertThat(path("sock").directories()).isEmpty();
  }

  @Test
  void aNameThatIsNoTextHasNoPath() {
    assertThat(new UnixName(new byte[] {'a', (byte) 0xff}).path()).isEmpty();
  }
}
