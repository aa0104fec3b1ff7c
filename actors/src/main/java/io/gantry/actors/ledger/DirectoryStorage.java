package io.gantry.actors.ledger;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Set;

/** The files {@code ledger}, {@code ledger.new} and {@code ledger.lock} in a state directory. */
final class DirectoryStorage implements LedgerStorage {
  private final Path directory;
  private final Path file;
  private final FileChannel lockChannel;
  private FileChannel channel;

  private DirectoryStorage(Path directory, FileChannel lockChannel) {
    this.directory = directory;
    this.file = directory.resolve("ledger");
    this.lockChannel = lockChannel;
  }

  /**
   * Takes the directory for this agent alone.
   *
   * @param directory exists and is writable
   * @throws LedgerException when another agent has it
   */
  static DirectoryStorage lock(Path directory) throws IOException {
    var lockChannel = FileChannel.open(directory.resolve("ledger.lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    if (!isLocked(lockChannel)) {
      lockChannel.close();
      throw new LedgerException(
          "The state directory " + directory + " is in use by another node; stop that node or choose another directory.", true);
    }
    return new DirectoryStorage(directory, lockChannel);
  }

  private static boolean isLocked(FileChannel lockChannel) throws IOException {
    try {
      FileLock lock = lockChannel.tryLock();
      return lock != null;
    } catch (OverlappingFileLockException e) {
      return false; // held by this very JVM
    }
  }

  @Override
  public String name() {
    return file.toString();
  }

  @Override
  public byte[] open() throws IOException {
    Files.deleteIfExists(temporary());
    var isNew = !Files.exists(file);
    channel = FileChannel.open(file, Set.of(StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE));
    return isNew ? new byte[0] : Files.readAllBytes(file);
  }

  @Override
  public void write(long position, ByteBuffer bytes) throws IOException {
    var at = position;
    while (bytes.hasRemaining()) {
      at += channel.write(bytes, at);
    }
  }

  @Override
  public void truncate(long size) throws IOException {
    channel.truncate(size);
  }

  @Override
  public void sync() throws IOException {
    channel.force(false);
  }

  @Override
  public void replace(ByteBuffer content) throws IOException {
    var fresh = FileChannel.open(
        temporary(),
            Set.of(StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.READ,
                StandardOpenOption.WRITE));
    try {
      while (content.hasRemaining()) {
        fresh.write(content);
      }
      fresh.force(true);
      Files.move(temporary(), file, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      fresh.close();
      throw e;
    }
    channel.close();
    channel = fresh;
  }

  private Path temporary() {
    return directory.resolve("ledger.new");
  }

  @Override
  public void syncName() throws IOException {
    try (var handle = FileChannel.open(directory, StandardOpenOption.READ)) {
      handle.force(true);
    }
  }

  @Override
  public void close() throws IOException {
    if (channel != null) {
      channel.close();
    }
    lockChannel.close();
  }
}
