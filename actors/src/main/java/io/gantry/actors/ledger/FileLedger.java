package io.gantry.actors.ledger;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * A ledger in a directory: {@code ledger} is appended to, one record at a time, and synced after each; {@code ledger.lock}
 * keeps a second agent
 * away. A record that a crash cut short is recognised by its checksum and dropped when the file is opened; it can only be the
 * last one, because
 * nothing is written behind a record that was not synced. Anything else that does not read is damage, and the ledger refuses
 * to open.
 *
 * <p>When much of the file is history, it is written anew beside itself and renamed, both directory entries synced.
 */
public final class FileLedger implements Ledger {
  private static final int COMPACT_BYTES_MIN = 1 << 20;

  private final LedgerStorage storage;
  private final LedgerState state = new LedgerState();
  private String id = "";
  private long incarnation;
  private long soundBytes;
  private long bytesAfterCompaction;
  private boolean tailUncertain;
  private boolean nameUncertain;

  private FileLedger(LedgerStorage storage) {
    this.storage = storage;
  }

  /**
   * Opens the ledger of a directory, or creates it.
   *
   * @param directory exists and is writable
   * @throws LedgerException when it is in use, damaged, or cannot be read or written
   */
  public static FileLedger open(Path directory) {
    try {
      return open(DirectoryStorage.lock(directory), FileLedger::randomId);
    } catch (IOException e) {
      throw new LedgerException("The ledger in " + directory + " cannot be opened: " + sentence(e), true, e);
    }
  }

  /**
   * Opens the ledger of a storage, or creates it.
   *
   * @param storage the ledger's from now on, also when this fails
   * @param newId identity of a ledger that is new, 16 hexadecimal digits
   * @throws LedgerException when it is damaged, or cannot be read or written
   */
  public static FileLedger open(LedgerStorage storage, Supplier<String> newId) {
    var ledger = new FileLedger(storage);
    try {
      ledger.load(newId);
      return ledger;
    } catch (IOException e) {
      ledger.close();
      throw new LedgerException("The ledger " + storage.name() + " cannot be opened: " + sentence(e), true, e);
    } catch (RuntimeException e) {
      ledger.close();
      throw e;
    }
  }

  private static String randomId() {
    var random = new byte[8];
    new SecureRandom().nextBytes(random);
    return HexFormat.of().formatHex(random);
  }

  private void load(Supplier<String> newId) throws IOException {
    read(storage.open());
    if (id.isEmpty()) {
      // New, or a crash came before the first record was whole: nothing was ever permitted by it.
      id = newId.get();
      storage.truncate(0);
      soundBytes = 0;
      write(new LedgerCodec.Identity(id));
    }
    incarnation++;
    write(new LedgerCodec.Opened(incarnation));
    storage.syncName();
    bytesAfterCompaction = soundBytes;
  }

  private void read(byte[] bytes) throws IOException {
    var offset = 0;
    while (offset < bytes.length) {
      var length = LedgerCodec.soundLength(bytes, offset);
      if (length < 0) {
        break;
      }
      take(LedgerCodec.decode(bytes, offset, length));
      offset += length;
    }
    for (var behind = offset + 1; behind < bytes.length; behind++) {
      if (LedgerCodec.soundLength(bytes, behind) > 0) {
        throw new LedgerException(
            ("The ledger %s is damaged at byte %d: sound records follow, so this is no interrupted write. Restore the file"
                    + " from a backup, or make sure that no container of this host runs anywhere else and remove it.")
                .formatted(storage.name(), offset),
            true);
      }
    }
    soundBytes = offset;
    if (offset < bytes.length) {
      storage.truncate(offset);
      storage.sync();
    }
  }

  private void take(LedgerCodec.Record record) {
    switch (record) {
      case LedgerCodec.Identity(var found) -> id = found;
      case LedgerCodec.Opened(var times) -> incarnation = times;
      case LedgerCodec.Entry(var entry) -> state.apply(entry);
      case LedgerCodec.OwnedBefore(var container, var migration) -> state.rememberOwned(container, migration);
    }
  }

  @Override
  public String id() {
    return id;
  }

  @Override
  public long incarnation() {
    return incarnation;
  }

  @Override
  public List<LedgerEntry> entries() {
    return state.entries();
  }

  @Override
  public Optional<LedgerEntry> entry(String container) {
    return state.entry(container);
  }

  @Override
  public boolean hasOwned(String container, String migration) {
    return state.hasOwned(container, migration);
  }

  @Override
  public LedgerState state() {
    return state.copy();
  }

  @Override
  public void append(LedgerEntry entry) {
    state.check(entry);
    repairTail();
    try {
      write(new LedgerCodec.Entry(entry));
    } catch (IOException e) {
      tailUncertain = true;
      var certain = tryRepairTail();
      throw new LedgerException(
          "The ledger %s could not record that container %s is %s: %s"
              .formatted(storage.name(), entry.container(), entry.status(), sentence(e)),
          certain,
          e);
    }
    state.apply(entry);
    // Not in a commit: these two statuses are never written while a container stands still.
    if (entry.status() == LedgerEntry.Status.ARRIVING || entry.status() == LedgerEntry.Status.GONE) {
      compactWhenWorthwhile();
    }
  }

  /** Appends and syncs; {@code fdatasync} carries a changed file size as well ({@code man 2 fdatasync}). */
  private void write(LedgerCodec.Record record) throws IOException {
    var bytes = LedgerCodec.encode(record);
    storage.write(soundBytes, ByteBuffer.wrap(bytes));
    storage.sync();
    soundBytes += bytes.length;
  }

  private void repairTail() {
    if (tailUncertain && !tryRepairTail()) {
      throw new LedgerException(
          "The ledger " + storage.name()
              + " has an unfinished record that cannot be removed; the disk under it must be repaired first.",
          true);
    }
    if (nameUncertain) {
      try {
        storage.syncName();
        nameUncertain = false;
      } catch (IOException e) {
        throw new LedgerException("The directory of the ledger " + storage.name() + " cannot be synced: " + sentence(e), true, e);
      }
    }
  }

  private boolean tryRepairTail() {
    try {
      storage.truncate(soundBytes);
      storage.sync();
      tailUncertain = false;
      return true;
    } catch (IOException _) {
      return false; // the caller says so with the first failure as its cause
    }
  }

  private void compactWhenWorthwhile() {
    if (soundBytes > COMPACT_BYTES_MIN && soundBytes > 2 * bytesAfterCompaction) {
      try {
        compact();
      } catch (IOException _) {
        // The long file is as good as the short one; the next entry tries again.
        bytesAfterCompaction = soundBytes;
      }
    }
  }

  /** Writes the file anew without its history. */
  void compact() throws IOException {
    var bytes = new ByteArrayOutputStream();
    bytes.writeBytes(LedgerCodec.encode(new LedgerCodec.Identity(id)));
    bytes.writeBytes(LedgerCodec.encode(new LedgerCodec.Opened(incarnation)));
    for (var entry : state.entries()) {
      for (var migration : state.ownedMigrations(entry.container())) {
        bytes.writeBytes(LedgerCodec.encode(new LedgerCodec.OwnedBefore(entry.container(), migration)));
      }
      bytes.writeBytes(LedgerCodec.encode(new LedgerCodec.Entry(entry)));
    }
    storage.replace(ByteBuffer.wrap(bytes.toByteArray()));
    // From the rename on the new file is the ledger, whether or not the sync of the directory succeeds: both hold the same
    // entries until
    // the next append, which goes to the new one and is not made before its name is durable.
    nameUncertain = true;
    soundBytes = bytes.size();
    bytesAfterCompaction = soundBytes;
    storage.syncName();
    nameUncertain = false;
  }

  @Override
  public void close() {
    try {
      storage.close();
    } catch (IOException e) {
      throw new LedgerException("The ledger could not be closed: " + sentence(e), true, e);
    }
  }

  private static String sentence(IOException e) {
    return e.getMessage() == null || e.getMessage().isBlank() ? e.getClass().getSimpleName() + "." : e.getMessage() + ".";
  }
}
