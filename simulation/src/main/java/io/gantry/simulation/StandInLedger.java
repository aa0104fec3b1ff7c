package io.gantry.simulation;

import io.gantry.actors.ledger.Ledger;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.ledger.LedgerException;
import io.gantry.actors.ledger.LedgerState;
import java.util.List;
import java.util.Optional;

/**
 * A ledger whose disk is in a {@link StandInHost}. Each write is two points for {@link Faults}: {@code "a ledger.RELEASED"}
 * before it is durable and {@code "a ledger.RELEASED.written"} after. One for
 * each life of an agent.
 */
public final class StandInLedger implements Ledger {
  private final StandInTruth truth;
  private final StandInHost host;
  private final Faults faults;
  private volatile boolean isDead;

  public StandInLedger(StandInTruth truth, String host, Faults faults) {
    this.truth = truth;
    this.host = truth.host(host);
    this.faults = faults;
    truth.change(() -> this.host.incarnation++);
  }

  void kill() {
    isDead = true;
  }

  @Override
  public String id() {
    return "ledger-of-" + host.name();
  }

  @Override
  public long incarnation() {
    return truth.change(() -> host.incarnation);
  }

  @Override
  public List<LedgerEntry> entries() {
    return truth.change(() -> host.disk.entries());
  }

  @Override
  public Optional<LedgerEntry> entry(String container) {
    return truth.change(() -> host.disk.entry(container));
  }

  @Override
  public boolean hasOwned(String container, String migration) {
    return truth.change(() -> host.disk.hasOwned(container, migration));
  }

  @Override
  public LedgerState state() {
    return truth.change(() -> host.disk.copy());
  }

  @Override
  public void append(LedgerEntry entry) {
    faults.reach(host.name(), "ledger." + entry.status());
    truth.change(
        () -> {
          if (isDead) {
            throw new LedgerException("The agent of " + host.name() + " is dead.", true);
          }
          host.disk.apply(entry);
          return true;
        });
    faults.reach(host.name(), "ledger." + entry.status() + ".written");
  }

  @Override
  public void close() {}
}
