package io.gantry.actors.ledger;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** What the entries of a ledger amount to; shared by every {@link Ledger}. One thread at a time. */
public final class LedgerState {
  private final TreeMap<String, LedgerEntry> last = new TreeMap<>();
  private final Map<String, ArrayDeque<String>> ownedMigrations = new HashMap<>();
  private final LinkedHashMap<String, Boolean> gone = new LinkedHashMap<>();

  /**
   * Takes an entry in.
   *
   * @throws IllegalArgumentException when the epoch of the container would fall, which no correct host asks for
   */
  public void apply(LedgerEntry entry) {
    check(entry);
    last.put(entry.container(), entry);
    gone.remove(entry.container());
    switch (entry.status()) {
      case OWNED -> {
        if (!entry.migration().isEmpty()) {
          rememberOwned(entry.container(), entry.migration());
        }
      }
      case GONE -> {
        gone.put(entry.container(), true);
        forgetOldest();
      }
      case ARRIVING, HELD, RELEASED -> {}
    }
  }

  /** Throws as {@link #apply} would. */
  public void check(LedgerEntry entry) {
    var before = last.get(entry.container());
    if (before != null && entry.epoch() < before.epoch()) {
      throw new IllegalArgumentException(
          "The epoch of container %s must not fall from %d to %d.".formatted(entry.container(), before.epoch(), entry.epoch()));
    }
  }

  void rememberOwned(String container, String migration) {
    var migrations = ownedMigrations.computeIfAbsent(container, _ -> new ArrayDeque<>());
    if (migrations.contains(migration)) {
      return;
    }
    migrations.addLast(migration);
    if (migrations.size() > Ledger.OWNED_MIGRATIONS_MAX) {
      migrations.removeFirst();
    }
  }

  public List<LedgerEntry> entries() {
    return new ArrayList<>(last.values());
  }

  public Optional<LedgerEntry> entry(String container) {
    return Optional.ofNullable(last.get(container));
  }

  public boolean hasOwned(String container, String migration) {
    var migrations = ownedMigrations.get(container);
    return migrations != null && migrations.contains(migration);
  }

  /** The container that was owned here under a migration. */
  public Optional<String> ownedUnder(String migration) {
    return ownedMigrations.entrySet().stream().filter(known -> known.getValue().contains(migration)).map(Map.Entry::getKey)
        .findFirst();
  }

  /** The migrations under which a container was owned here, oldest first. */
  List<String> ownedMigrations(String container) {
    var migrations = ownedMigrations.get(container);
    return migrations == null ? List.of() : List.copyOf(migrations);
  }

  public LedgerState copy() {
    var copy = new LedgerState();
    copy.last.putAll(last);
    copy.gone.putAll(gone);
    ownedMigrations.forEach((container, migrations) -> copy.ownedMigrations.put(container, new ArrayDeque<>(migrations)));
    return copy;
  }

  private void forgetOldest() {
    while (gone.size() > Ledger.GONE_MAX) {
      var oldest = gone.firstEntry().getKey();
      gone.remove(oldest);
      last.remove(oldest);
      ownedMigrations.remove(oldest);
    }
  }
}
