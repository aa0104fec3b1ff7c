package io.gantry.actors.ledger;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Set;

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

  private final Path file;
  private final Path directory;
  private final FileChannel lockChannel;
  private final LedgerState state = new LedgerState();
  private FileChannel channel;
  private String id = "";
  private long incarnation;
  private long soundBytes;
  private long bytesAfterCompaction;
  private boolean tailUncertain;
  private boolean nameUncertain;

  private FileLedger(Path directory, FileChannel lockChannel) {
    this.directory = directory;
    this.file = directory.resolve("ledger");
    this.lockChannel = lockChannel;
  }

  /**
   * Opens the ledger of a directory, or creates it.
   *
   * @param directory exists and is writable
   * @throws LedgerException when it is in use, damaged, or cannot be read or written
   */
  public static FileLedger open(Path directory) {
    FileChannel lockChannel = null;
    FileLedger ledger = null;
    try {
      lockChannel = FileChannel.open(directory.resolve("ledger.lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      if (!isLocked(lockChannel)) {
        lockChannel.close();
        throw new LedgerException(
            "The state directory " + directory + " is in use by another node; stop that node or choose another directory.", true);
      }
      ledger = new FileLedger(directory, lockChannel);
      ledger.load();
      return ledger;
    } catch (IOException e) {
      close(ledger, lockChannel);
      throw new LedgerException("The ledger in " + directory + " cannot be opened: " + sentence(e), true, e);
    } catch (RuntimeException e) {
      close(ledger, lockChannel);
      throw e;
    }
  }

  private static boolean isLocked(FileChannel lockChannel) throws IOException {
    try {
      FileLock lock = lockChannel.tryLock();
      return lock != null;
    } catch (OverlappingFileLockException e) {
      return false; // held by this very JVM
    }
  }

  private void load() throws IOException {
    Files.deleteIfExists(temporary());
    var isNew = !Files.exists(file);
    channel = FileChannel.open(file, Set.of(StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE));
    if (!isNew) {
      read(Files.readAllBytes(file));
    }
    if (id.isEmpty()) {
      // New, or a crash came before the first record was whole: nothing was ever permitted by it.
      var random = new byte[8];
      new SecureRandom().nextBytes(random);
      id = HexFormat.of().formatHex(random);
      channel.truncate(0);
      soundBytes = 0;
      write(new LedgerCodec.Identity(id));
    }
    incarnation++;
    write(new LedgerCodec.Opened(incarnation));
    syncDirectory();
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
                .formatted(file, offset),
            true);
      }
    }
    soundBytes = offset;
    if (offset < bytes.length) {
      channel.truncate(offset);
      channel.force(true);
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
              .formatted(file, entry.container(), entry.status(), sentence(e)),
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
    var buffer = ByteBuffer.wrap(LedgerCodec.encode(record));
    var position = soundBytes;
    while (buffer.hasRemaining()) {
      position += channel.write(buffer, position);
    }
    channel.force(false);
    soundBytes = position;
  }

  private void repairTail() {
    if (tailUncertain && !tryRepairTail()) {
      throw new LedgerException(
          "The ledger " + file + " has an unfinished record that cannot be removed; the disk under it must be repaired first.",
              true);
    }
    if (nameUncertain) {
      try {
        syncDirectory();
        nameUncertain = false;
      } catch (IOException e) {
        throw new LedgerException("The directory of the ledger " + file + " cannot be synced: " + sentence(e), true, e);
      }
    }
  }

  private boolean tryRepairTail() {
    try {
      channel.truncate(soundBytes);
      channel.force(true);
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
    var fresh = FileChannel.open(
        temporary(),
            Set.of(StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.READ,
                StandardOpenOption.WRITE));
    try {
      var buffer = ByteBuffer.wrap(bytes.toByteArray());
      while (buffer.hasRemaining()) {
        fresh.write(buffer);
      }
      fresh.force(true);
      Files.move(temporary(), file, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      fresh.close();
      throw e;
    }
    // From the rename on the new file is the ledger, whether or not the sync of the directory succeeds: both hold the same
    // entries until
    // the next append, which goes to the new one and is not made before its name is durable.
    nameUncertain = true;
    channel.close();
    channel = fresh;
    soundBytes = bytes.size();
    bytesAfterCompaction = soundBytes;
    syncDirectory();
    nameUncertain = false;
  }

  private Path temporary() {
    return directory.resolve("ledger.new");
  }

  private void syncDirectory() throws IOException {
    try (var handle = FileChannel.open(directory, StandardOpenOption.READ)) {
      handle.force(true);
    }
  }

  @Override
  public void close() {
    close(this, lockChannel);
  }

  private static void close(FileLedger ledger, FileChannel lockChannel) {
    try {
      if (ledger != null && ledger.channel != null) {
        ledger.channel.close();
      }
      if (lockChannel != null) {
        lockChannel.close();
      }
    } catch (IOException e) {
      throw new LedgerException("The ledger could not be closed: " + sentence(e), true, e);
    }
  }

  private static String sentence(IOException e) {
    return e.getMessage() == null || e.getMessage().isBlank() ? e.getClass().getSimpleName() + "." : e.getMessage() + ".";
  }
}
