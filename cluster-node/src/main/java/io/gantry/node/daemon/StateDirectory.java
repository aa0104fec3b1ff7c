package io.gantry.node.daemon;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Optional;

/**
 * A node's state directory, held by one process at a time. The lock ends with the process, however it ends. From any thread.
 */
public final class StateDirectory implements AutoCloseable {
  private static final String LOCK_FILE = "node.lock";

  private final Path path;
  private final FileChannel channel;
  private final FileLock lock;

  private StateDirectory(Path path, FileChannel channel, FileLock lock) {
    this.path = path;
    this.channel = channel;
    this.lock = lock;
  }

  /**
   * Creates it with mode 0700 when it is missing, and takes it.
   *
   * @throws CommandException when it cannot be written, or another node has it, whose process id is then in the sentence
   */
  public static StateDirectory take(Path path) {
    try {
      Files.createDirectories(path);
    } catch (IOException failure) {
      throw unwritable(path, failure);
    }
    try {
      Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rwx------"));
      FileChannel channel =
          FileChannel.open(path.resolve(LOCK_FILE), StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
      Optional<FileLock> lock = tryLock(channel);
      if (lock.isEmpty()) {
        String holder = read(channel);
        channel.close();
        throw new CommandException(
            ExitCode.CONFLICT,
            "The state directory " + path + " belongs to a node that is running" + (holder.isEmpty() ? "" : " (process " + holder + ")")
                + ". Stop that one first (kill -TERM " + (holder.isEmpty() ? "PID" : holder)
                + " leaves its containers running), or choose another --state-dir.");
      }
      channel.truncate(0);
      channel.write(ByteBuffer.wrap((ProcessHandle.current().pid() + "\n").getBytes(StandardCharsets.US_ASCII)), 0);
      return new StateDirectory(path, channel, lock.get());
    } catch (IOException failure) {
      throw unwritable(path, failure);
    }
  }

  private static Optional<FileLock> tryLock(FileChannel channel) throws IOException {
    try {
      return Optional.ofNullable(channel.tryLock());
    } catch (OverlappingFileLockException heldByThisProcess) {
      return Optional.empty();
    }
  }

  private static String read(FileChannel channel) throws IOException {
    var bytes = ByteBuffer.allocate(32);
    channel.read(bytes, 0);
    return StandardCharsets.US_ASCII.decode(bytes.flip()).toString().strip();
  }

  private static CommandException unwritable(Path path, IOException failure) {
    return new CommandException(
        ExitCode.USAGE,
        "The state directory " + path + " cannot be created or written (" + failure.getClass().getSimpleName() + ": " + failure.getMessage()
            + "). Give a directory on a writable file system with --state-dir.",
        failure);
  }

  /** The directory. */
  public Path path() {
    return path;
  }

  /** The log that a node running in the background writes. */
  public Path log() {
    return path.resolve("node.log");
  }

  /** Lets another process take it. */
  @Override
  public void close() {
    try {
      lock.release();
      channel.close();
    } catch (IOException failure) {
      // The kernel releases the lock with the process, so nothing is lost.
      org.slf4j.LoggerFactory.getLogger(StateDirectory.class).debug("Releasing {}: {}", path, failure.toString());
    }
  }
}
