package io.gantry.checkpoint.procfs;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.NoSuchFileException;
import org.junit.jupiter.api.Test;

class IdMapTest {
  private static final IdMap CONTAINER = IdMap.parse("         0     100000      65536\n     70000       5000         10\n");

  @Test
  void idsHaveOneNameOnEitherSide() {
    assertThat(CONTAINER.inside(100033)).hasValue(33);
    assertThat(CONTAINER.inside(165535)).hasValue(65535);
    assertThat(CONTAINER.inside(165536)).isEmpty();
    assertThat(CONTAINER.inside(0)).isEmpty();
    assertThat(CONTAINER.inside(5009)).hasValue(70009);
    assertThat(CONTAINER.outside(70009)).hasValue(5009);
    assertThat(CONTAINER.outside(70010)).isEmpty();
  }

  @Test
  void idsAreUnsigned() {
    assertThat(IdMap.IDENTITY.inside(-2)).hasValue(-2);
    assertThat(IdMap.IDENTITY.inside(-1)).isEmpty();
    assertThat(IdMap.parse("0 4294000000 1000\n").inside((int) 4294000999L)).hasValue(999);
  }

  @Test
  void aMapWithinAnotherIsNamedAsThatDoes() {
    // What the agent reads of a namespace inside the container, and what the container would.
    var nested = IdMap.parse("0 101000 5\n7 5001 2\n");
    assertThat(nested.seenFrom(CONTAINER).text()).isEqualTo("0 1000 5\n7 70001 2\n");
    assertThat(nested.seenFrom(IdMap.IDENTITY)).isEqualTo(nested);
    assertThatThrownBy(() -> IdMap.parse("0 7 1\n").seenFrom(CONTAINER)).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void whatWasReadCanBeWritten() {
    assertThat(CONTAINER.text()).isEqualTo("0 100000 65536\n70000 5000 10\n");
    assertThat(IdMap.parse("").text()).isEmpty();
    assertThat(IdMap.parse("").inside(0)).isEmpty();
  }

  @Test
  void ofOnesOwnNamespaceEveryIdIsItself() throws NoSuchFileException {
    assertThat(IdMaps.of((int) ProcessHandle.current().pid())).isEqualTo(IdMaps.IDENTITY);
  }
}
