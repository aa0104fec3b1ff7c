package io.gantry.actors.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.actors.protocol.CarriedSpec;
import io.gantry.checkpoint.ContainerHandle;
import io.gantry.checkpoint.OciSpec;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileLedgerTest {
  private static final CarriedSpec SPEC = new CarriedSpec(List.of("/bin/sh", "-c", "sleep 1"),
      Map.of("PATH", "/bin", "A", "ä"), "/");

  @TempDir private Path directory;

  private static ContainerHandle handle(String name) {
    return new ContainerHandle(name, 4711, 99, Path.of("/sys/fs/cgroup/gantry", name), Path.of("/var/lib/gantry", name));
  }

  @Test
  void everythingIsThereAfterReopening() {
    var born = LedgerEntry.born("web", 1, handle("web"), SPEC);
    var held = LedgerEntry.arriving("db", 3, "b", "b.1.1", SPEC).held(handle("db"), "cafe");
    String id;
    try (var ledger = FileLedger.open(directory)) {
      id = ledger.id();
      assertThat(ledger.incarnation()).isEqualTo(1);
      ledger.append(born);
      ledger.append(LedgerEntry.arriving("db", 3, "b", "b.1.1", SPEC));
      ledger.append(held);
    }
    try (var ledger = FileLedger.open(directory)) {
      assertThat(ledger.id()).isEqualTo(id);
      assertThat(ledger.incarnation()).isEqualTo(2);
      assertThat(ledger.entries()).containsExactly(held, born);
      assertThat(ledger.hasOwned("db", "b.1.1")).isFalse();
      ledger.append(held.owned());
      ledger.append(held.owned().gone());
    }
    try (var ledger = FileLedger.open(directory)) {
      assertThat(ledger.entry("db")).hasValue(held.owned().gone());
      assertThat(ledger.hasOwned("db", "b.1.1")).isTrue();
      assertThat(ledger.hasOwned("db", "b.1.2")).isFalse();
    }
  }

  @Test
  void containersOfARuntimeAreThereAfterReopening() {
    var oci = new OciSpec("runc", "web-1", "/srv/web", false);
    var born = LedgerEntry.born("web", 1, handle("web"), new CarriedSpec(List.of("runc", "web-1"), Map.of(), "/", Optional.of(oci)));
    try (var ledger = FileLedger.open(directory)) {
      ledger.append(born);
    }
    try (var ledger = FileLedger.open(directory)) {
      assertThat(ledger.entries()).containsExactly(born);
    }
  }

  @Test
  void networksAreThereAfterReopening() {
    var network = "bridge=br0,address=10.9.0.5/24";
    var oci = new OciSpec("runc", "web-1", "/srv/web", false);
    var plain = LedgerEntry.born("web", 1, handle("web"), new CarriedSpec(List.of("httpd"), Map.of(), "/", Optional.empty(), network));
    var made = LedgerEntry.born("made", 1, handle("made"), new CarriedSpec(List.of("runc"), Map.of(), "/", Optional.of(oci), network));
    try (var ledger = FileLedger.open(directory)) {
      ledger.append(plain);
      ledger.append(made);
    }
    try (var ledger = FileLedger.open(directory)) {
      assertThat(ledger.entries()).containsExactlyInAnyOrder(plain, made);
    }
  }

  @Test
  void volumesAreThereAfterReopening() {
    var volumes = List.of("/srv/a", "/srv/b");
    var oci = new OciSpec("runc", "web-1", "/srv/web", false);
    var network = "bridge=br0,address=10.9.0.5/24";
    var plain = LedgerEntry.born("web", 1, handle("web"), new CarriedSpec(List.of("httpd"), Map.of(), "/", Optional.empty(), "", volumes));
    var made = LedgerEntry.born("made", 1, handle("made"), new CarriedSpec(List.of("runc"), Map.of(), "/", Optional.of(oci), network, volumes));
    try (var ledger = FileLedger.open(directory)) {
      ledger.append(plain);
      ledger.append(made);
    }
    try (var ledger = FileLedger.open(directory)) {
      assertThat(ledger.entries()).containsExactlyInAnyOrder(plain, made);
    }
  }

  @Test
  void aFileCutAtAnyByteKeepsEveryEntryThatWasWholeAndTakesNewOnes() throws IOException {
    var entries = IntStream.range(0, 4).mapToObj(i -> LedgerEntry.born("c" + i, 1, handle("c" + i), SPEC)).toList();
    var ends = new long[entries.size()];
    long begin;
    try (var ledger = FileLedger.open(directory)) {
      begin = Files.size(directory.resolve("ledger"));
      for (var i = 0; i < ends.length; i++) {
        ledger.append(entries.get(i));
        ends[i] = Files.size(directory.resolve("ledger"));
      }
    }
    var whole = Files.readAllBytes(directory.resolve("ledger"));
    for (var cut = 0; cut <= whole.length; cut++) {
      var bytes = java.util.Arrays.copyOf(whole, cut);
      Files.write(directory.resolve("ledger"), bytes);
      var expected = 0;
      while (expected < ends.length && ends[expected] <= cut) {
        expected++;
      }
      try (var ledger = FileLedger.open(directory)) {
        assertThat(ledger.entries()).as("cut at %d", cut).isEqualTo(entries.subList(0, expected));
        assertThat(ledger.incarnation()).isEqualTo(cut >= begin ? 2 : 1);
      }
      try (var ledger = FileLedger.open(directory)) {
        assertThat(ledger.entries()).as("reopened after a cut at %d", cut).isEqualTo(entries.subList(0, expected));
      }
    }
  }

  @Test
  void garbageBehindTheLastRecordIsDroppedAndDamageBeforeItIsRefused() throws IOException {
    var entry = LedgerEntry.born("web", 1, handle("web"), SPEC);
    try (var ledger = FileLedger.open(directory)) {
      ledger.append(entry);
      ledger.append(LedgerEntry.born("db", 1, handle("db"), SPEC));
    }
    var sound = Files.readAllBytes(directory.resolve("ledger"));
    var longer = java.util.Arrays.copyOf(sound, sound.length + 300);
    Files.write(directory.resolve("ledger"), longer);
    try (var ledger = FileLedger.open(directory)) {
      assertThat(ledger.entries()).hasSize(2).contains(entry);
    }
    var damaged = sound.clone();
    damaged[60] ^= 1;
    Files.write(directory.resolve("ledger"), damaged);
    assertThatThrownBy(() -> FileLedger.open(directory)).isInstanceOf(LedgerException.class)
        .hasMessageContaining("is damaged at byte");
    assertThat(Files.readAllBytes(directory.resolve("ledger"))).isEqualTo(damaged);
  }

  @Test
  void compactionKeepsEntriesAndWhatWasOwnedBefore() throws IOException {
    try (var ledger = FileLedger.open(directory)) {
      for (var i = 1; i <= 200; i++) {
        var arriving = LedgerEntry.arriving("web", i, "b", "b." + i, SPEC);
        ledger.append(arriving);
        ledger.append(arriving.held(handle("web"), "d"));
        ledger.append(arriving.held(handle("web"), "d").owned());
      }
      var before = Files.size(directory.resolve("ledger"));
      ledger.compact();
      assertThat(Files.size(directory.resolve("ledger"))).isLessThan(before / 10);
      ledger.append(LedgerEntry.born("db", 1, handle("db"), SPEC));
    }
    try (var ledger = FileLedger.open(directory)) {
      assertThat(ledger.entries()).extracting(LedgerEntry::container).containsExactly("db", "web");
      assertThat(ledger.hasOwned("web", "b.200")).isTrue();
      assertThat(ledger.hasOwned("web", "b." + (200 - Ledger.OWNED_MIGRATIONS_MAX + 1))).isTrue();
      assertThat(ledger.hasOwned("web", "b." + (200 - Ledger.OWNED_MIGRATIONS_MAX))).isFalse();
    }
  }

  @Test
  void aLongLedgerCompactsByItself() throws IOException {
    var words = new CarriedSpec(List.of("x".repeat(20_000)), Map.of(), "/");
    try (var ledger = FileLedger.open(directory)) {
      for (var i = 1; i <= 120; i++) {
        ledger.append(LedgerEntry.arriving("web", i, "b", "b." + i, words));
      }
      assertThat(Files.size(directory.resolve("ledger"))).isLessThan(1_500_000);
      assertThat(ledger.entries()).hasSize(1);
    }
  }

  @Test
  void aSecondAgentIsKeptAway() {
    try (var _ = FileLedger.open(directory)) {
      assertThatThrownBy(() -> FileLedger.open(directory)).isInstanceOf(LedgerException.class).hasMessageContaining("in use");
    }
    FileLedger.open(directory).close();
  }

  @Test
  void anEpochNeverFalls() {
    try (var ledger = FileLedger.open(directory)) {
      ledger.append(LedgerEntry.born("web", 5, handle("web"), SPEC));
      assertThatThrownBy(() -> ledger.append(LedgerEntry.born("web", 4, handle("web"), SPEC)))
          .isInstanceOf(IllegalArgumentException.class);
      assertThat(ledger.entry("web").orElseThrow().epoch()).isEqualTo(5);
    }
  }

  @Test
  void aRecordThatIsTooLongIsRefusedAndLeavesTheLedgerUsable() throws IOException {
    var huge = new CarriedSpec(List.of("x".repeat(9 << 20)), Map.of(), "/");
    try (var ledger = FileLedger.open(directory)) {
      var size = Files.size(directory.resolve("ledger"));
      assertThatThrownBy(() -> ledger.append(LedgerEntry.born("web", 1, handle("web"), huge)))
          .isInstanceOfSatisfying(LedgerException.class, e -> assertThat(e.certainlyNotWritten()).isTrue());
      assertThat(Files.size(directory.resolve("ledger"))).isEqualTo(size);
      ledger.append(LedgerEntry.born("web", 1, handle("web"), SPEC));
      assertThat(ledger.entries()).hasSize(1);
    }
  }
}
