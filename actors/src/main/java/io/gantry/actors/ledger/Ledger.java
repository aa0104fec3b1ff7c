package io.gantry.actors.ledger;

import java.util.List;
import java.util.Optional;

/**
 * The durable record of what this host owns, holds and has given away. {@link #append} returns only when the entry would
 * survive a power cut,
 * so that the act it permits may follow. One thread at a time.
 */
public interface Ledger extends AutoCloseable {
  /**
   * Identity of this ledger, made once when it was created; 16 hexadecimal digits. A host whose disk was wiped has another
   * one.
   */
  String id();

  /** How many times it has been opened, this time included; makes the ids of migrations unique. */
  long incarnation();

  /** The last entry of every container, in order of the names. */
  List<LedgerEntry> entries();

  /** The last entry of a container. */
  Optional<LedgerEntry> entry(String container);

  /**
   * Whether this host has ever written OWNED under a migration. Remembered for the last {@value #OWNED_MIGRATIONS_MAX}
   * migrations into this host of
   * each container; a source that still asks about an older one cannot exist, because the container cannot have come back
   * meanwhile.
   */
  boolean hasOwned(String container, String migration);

  /** A copy of what all entries amount to. */
  LedgerState state();

  /**
   * Writes an entry.
   *
   * @throws LedgerException when it could not be written; see {@link LedgerException#certainlyNotWritten()}
   */
  void append(LedgerEntry entry);

  @Override
  void close();

  /** How many migrations into this host are remembered for each container. */
  int OWNED_MIGRATIONS_MAX = 64;

  /** How many containers that are gone are remembered; the oldest are forgotten first. */
  int GONE_MAX = 4096;
}
