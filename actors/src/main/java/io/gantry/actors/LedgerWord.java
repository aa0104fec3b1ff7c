package io.gantry.actors;

import io.gantry.actors.ledger.LedgerEntry.Status;
import io.gantry.actors.ledger.LedgerState;
import io.gantry.actors.protocol.PeerMessage.Standing;
import java.util.Optional;

/** What a host says about a move that has no actor any more: a pure reading of its ledger. */
final class LedgerWord {
  private LedgerWord() {}

  /**
   * To a destination that asks what became of a move. A move that has no actor and was not released never will be: its id is
   * not used again. One that was taken back was over then, whatever has become of the container since.
   *
   * @param migration one of this host's own
   */
  static Standing asSource(LedgerState ledger, String migration) {
    var isReleased =
        ledger.entries().stream()
            .anyMatch(
                entry -> entry.migration().equals(migration)
                    && (entry.status() == Status.RELEASED || entry.status() == Status.GONE)
                    && !ledger.hasOwned(entry.container(), migration));
    return isReleased ? Standing.RELEASED : Standing.ROLLED_BACK;
  }

  /**
   * To a source that wants a copy activated.
   *
   * @return empty when the copy is owned here, or was
   */
  static Optional<Standing> asDestination(LedgerState ledger, String container, String migration) {
    if (ledger.hasOwned(container, migration)) {
      return Optional.empty();
    }
    var isThere =
        ledger
            .entry(container)
            .filter(entry -> entry.migration().equals(migration)
                && (entry.status() == Status.HELD || entry.status() == Status.ARRIVING))
            .isPresent();
    return Optional.of(isThere ? Standing.HELD : Standing.NEVER_OWNED);
  }
}
