package io.gantry.simulation.host;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.actors.ledger.FileLedger;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.ledger.LedgerException;
import io.gantry.actors.protocol.CarriedSpec;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** The real ledger on a disk that fails. */
class StandInDiskTest {
  private static final CarriedSpec SPEC = new CarriedSpec(List.of("/bin/true"), Map.of(), "/");

  private final StandInDisk disk = new StandInDisk("a");

  private FileLedger open() {
    return FileLedger.open(disk.storage(new Life("a", Life.Watcher.NOBODY), 0), () -> "0123456789abcdef");
  }

  private static LedgerEntry arriving(int epoch) {
    return LedgerEntry.arriving("web", epoch, "b", "b.1." + epoch, SPEC);
  }

  @Test
  void whatWasSyncedOutlastsTheHostAndWhatWasNotIsThereOrNot() {
    var seen = new boolean[2];
    for (var seed = 0; seed < 200; seed++) {
      var torn = new StandInDisk("a");
      var life = new Life("a", Life.Watcher.NOBODY);
      var ledger = FileLedger.open(torn.storage(life, 0), () -> "0123456789abcdef");
      ledger.append(arriving(1));
      torn.tear(Integer.MAX_VALUE); // written, not synced
      assertThatThrownBy(() -> ledger.append(arriving(2)))
          .isInstanceOfSatisfying(LedgerException.class, e -> assertThat(e.certainlyNotWritten()).isFalse());
      torn.switchedOff(new SplittableRandom(seed));
      var after = FileLedger.open(torn.storage(life, 0), () -> "f");
      assertThat(after.id()).isEqualTo("0123456789abcdef");
      assertThat(after.incarnation()).isEqualTo(2);
      var epoch = after.entry("web").orElseThrow().epoch();
      assertThat(epoch).isIn(1L, 2L);
      seen[(int) epoch - 1] = true;
    }
    assertThat(seen).as("both come about").containsExactly(true, true);
  }

  @Test
  void aFullDiskIsCertainAndTheLedgerGoesOnWhenThereIsRoom() {
    var ledger = open();
    ledger.append(arriving(1));
    disk.full(true);
    assertThatThrownBy(() -> ledger.append(arriving(2)))
        .isInstanceOfSatisfying(LedgerException.class, e -> assertThat(e.certainlyNotWritten()).isTrue())
        .hasMessageContaining("No space left on device");
    disk.mend();
    ledger.append(arriving(3));
    assertThat(open().entry("web").orElseThrow().epoch()).isEqualTo(3);
  }

  @Test
  void aTornRecordIsCutOff() {
    for (var bytes = 0; bytes < 60; bytes++) {
      var torn = new StandInDisk("a");
      var life = new Life("a", Life.Watcher.NOBODY);
      var ledger = FileLedger.open(torn.storage(life, 0), () -> "0123456789abcdef");
      ledger.append(arriving(1));
      torn.tear(bytes);
      assertThatThrownBy(() -> ledger.append(arriving(2))).isInstanceOf(LedgerException.class);
      torn.mend();
      assertThat(FileLedger.open(torn.storage(life, 0), () -> "f").entry("web").orElseThrow().epoch()).isEqualTo(1);
    }
  }
}
