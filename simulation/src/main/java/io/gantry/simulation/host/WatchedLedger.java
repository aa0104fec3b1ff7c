package io.gantry.simulation.host;

import io.gantry.actors.ledger.Ledger;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.ledger.LedgerException;
import io.gantry.actors.ledger.LedgerState;
import io.gantry.checkpoint.CheckpointException;
import java.util.List;
import java.util.Optional;

/**
 * A real ledger whose writes are seen: each is two points, {@code ledger.RELEASED} before it is durable and {@code
 * ledger.RELEASED.written} after. One for each life of an agent.
 */
public final class WatchedLedger implements Ledger {
  private final Truth truth;
  private final StandInHost host;
  private final Life life;
  private final Ledger real;

  /** @param real on the {@link StandInDisk} of the same host */
  public WatchedLedger(Truth truth, Life life, Ledger real) {
    this.truth = truth;
    this.host = truth.host(life.host());
    this.life = life;
    this.real = real;
  }

  @Override
  public String id() {
    return real.id();
  }

  @Override
  public long incarnation() {
    return real.incarnation();
  }

  @Override
  public List<LedgerEntry> entries() {
    return real.entries();
  }

  @Override
  public Optional<LedgerEntry> entry(String container) {
    return real.entry(container);
  }

  @Override
  public boolean hasOwned(String container, String migration) {
    return real.hasOwned(container, migration);
  }

  @Override
  public LedgerState state() {
    return real.state();
  }

  @Override
  public void append(LedgerEntry entry) {
    var operation = operation(entry.status());
    try {
      life.before(operation);
      real.append(entry);
      truth.recorded(host, entry);
      life.after(written(entry.status()));
    } catch (LedgerException e) {
      throw e;
    } catch (CheckpointException e) {
      throw new LedgerException(e.getMessage(), false, e);
    }
  }

  private static String operation(LedgerEntry.Status status) {
    return switch (status) {
      case OWNED -> "ledger.OWNED";
      case ARRIVING -> "ledger.ARRIVING";
      case HELD -> "ledger.HELD";
      case RELEASED -> "ledger.RELEASED";
      case GONE -> "ledger.GONE";
    };
  }

  private static String written(LedgerEntry.Status status) {
    return switch (status) {
      case OWNED -> "ledger.OWNED.written";
      case ARRIVING -> "ledger.ARRIVING.written";
      case HELD -> "ledger.HELD.written";
      case RELEASED -> "ledger.RELEASED.written";
      case GONE -> "ledger.GONE.written";
    };
  }

  /** Whether the ledger names a container that is not gone. */
  public boolean names(String container) {
    return real.entry(container).filter(entry -> entry.status() != LedgerEntry.Status.GONE).isPresent();
  }

  @Override
  public void close() {
    real.close();
  }
}
