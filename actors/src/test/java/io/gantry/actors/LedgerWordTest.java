package io.gantry.actors;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.ledger.LedgerState;
import io.gantry.actors.protocol.CarriedSpec;
import io.gantry.actors.protocol.PeerMessage.Standing;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class LedgerWordTest {
  private static final String MOVE = "a.1.7";

  private final LedgerState ledger = new LedgerState();
  private final LedgerEntry owned = LedgerEntry.arriving("web", 1, "", "", new CarriedSpec(List.of("/bin/true"), Map.of(), "/")).owned();
  private final LedgerEntry released = owned.released(2, "b", MOVE, "ledger of b", "digest");

  private Standing after(LedgerEntry... entries) {
    for (var entry : entries) {
      ledger.apply(entry);
    }
    return LedgerWord.asSource(ledger, MOVE);
  }

  @Test
  void aMoveThatWasNeverReleasedIsRolledBack() {
    assertThat(after(owned)).isEqualTo(Standing.ROLLED_BACK);
  }

  @Test
  void aReleasedMoveIsReleasedAlsoWhenNothingIsLeftHere() {
    assertThat(after(owned, released)).isEqualTo(Standing.RELEASED);
    assertThat(after(released.gone())).isEqualTo(Standing.RELEASED);
  }

  /** Else a destination that still holds its copy would bring a container back that its user has stopped. */
  @Test
  void aMoveThatWasTakenBackIsRolledBackAlsoWhenTheContainerHasEndedSince() {
    assertThat(after(owned, released, released.takenBack())).isEqualTo(Standing.ROLLED_BACK);
    assertThat(after(released.takenBack().gone())).isEqualTo(Standing.ROLLED_BACK);
  }
}
