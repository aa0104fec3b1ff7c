package io.gantry.checkpoint.resource;

import com.google.protobuf.InvalidProtocolBufferException;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.file_lock_entry;
import io.gantry.checkpoint.image.released_locks;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.LockCalls;
import io.gantry.checkpoint.linux.Pidfd;
import io.gantry.checkpoint.tracee.StoppedTree;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/**
 * Locks that an original gives up when it is held, so that its copy can take them, and takes back when it is to run on. What was given up is
 * written beside the container first: a restarted agent finds it there. See {@code docs/decisions/file-locks.md}.
 *
 * <p>One thread at a time; what runs in processes, on the tracer thread that stopped them.
 */
public final class LockHandover {
  private static final String FILE = "released-locks";
  private static final int RETRY_NS = 1_000_000;

  private final Path file;

  /** @param directory the host's own directory for the container */
  public LockHandover(Path directory) {
    this.file = directory.resolve(FILE);
  }

  /** Whether a container here has given up locks that it does not have back yet. */
  public boolean isPending() {
    return Files.exists(file);
  }

  /** Notes what is about to be given up, so that it outlives the agent. */
  public void note(List<file_lock_entry> locks) {
    byte[] bytes = released_locks.newBuilder().addAllLock(locks).build().toByteArray();
    try (var channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING)) {
      for (var left = ByteBuffer.wrap(bytes); left.hasRemaining(); ) {
        channel.write(left);
      }
      channel.force(true);
    } catch (IOException e) {
      throw new CheckpointException("noting the file locks of the container in " + file + ": " + e.getMessage(), e);
    }
  }

  /** Everything has been taken back, or nobody is left to have it. */
  public void forget() {
    try {
      Files.deleteIfExists(file);
    } catch (IOException e) {
      throw new CheckpointException("removing " + file + ": " + e.getMessage(), e);
    }
  }

  /** Gives up what only the processes themselves can: locks that belong to a process. */
  public static void releaseInside(StoppedTree tree, List<file_lock_entry> locks) {
    for (var lock : locks) {
      if (lock.getFlag() == FileLock.POSIX) {
        tree.process(lock.getPid())
            .ifPresent(
                process -> {
                  var thread = process.anyThread();
                  var batch = thread.newBatch();
                  FileLock.add(batch, lock, lock.getFd(), FileLock.NONE);
                  thread.run(batch);
                });
      }
    }
  }

  /** Gives up what belongs to open files, from outside, while the processes are frozen. */
  public static void releaseOutside(List<file_lock_entry> locks) {
    for (var lock : locks) {
      if (lock.getFlag() == FileLock.FLOCK || lock.getFlag() == FileLock.OPEN_FILE) {
        apply(lock, FileLock.NONE);
      }
    }
  }

  private static int apply(file_lock_entry lock, int type) {
    int pidfd = Pidfd.open(lock.getPid(), Pidfd.THREAD);
    try {
      int copy = Pidfd.getfd(pidfd, lock.getFd());
      try {
        return lock.getFlag() == FileLock.FLOCK
            ? LockCalls.flock(copy, FileLock.flockOperation(type))
            : LockCalls.setLock(copy, FileLock.command(lock), FileLock.range(lock, type));
      } finally {
        Fd.close(copy);
      }
    } finally {
      Fd.close(pidfd);
    }
  }

  /**
   * Takes back everything that was noted.
   *
   * @param tree all processes, stopped and not frozen
   * @param endNs until when to wait for locks that somebody else has, as {@link System#nanoTime} counts
   * @throws CheckpointException when one is still taken then; those before it are taken
   */
  public void takeBack(StoppedTree tree, long endNs) {
    for (var lock : noted()) {
      if (lock.getFlag() == FileLock.LEASE) {
        continue; // kept all the time
      }
      int error = take(tree, lock);
      while (error == -Errno.EAGAIN || error == -Errno.EACCES) {
        if (System.nanoTime() > endNs) {
          throw new CheckpointException(
              "process %d had %s through descriptor %d, gave it up for its copy, and somebody else has it now; the container stays frozen until it is free"
                  .formatted(lock.getPid(), FileLock.describe(lock), lock.getFd()));
        }
        LockSupport.parkNanos(RETRY_NS);
        error = take(tree, lock);
      }
    }
  }

  private static int take(StoppedTree tree, file_lock_entry lock) {
    if (lock.getFlag() != FileLock.POSIX) {
      return apply(lock, lock.getType());
    }
    var process = tree.process(lock.getPid());
    if (process.isEmpty()) {
      return 0; // it has ended
    }
    var thread = process.get().anyThread();
    var batch = thread.newBatch();
    var call = FileLock.add(batch, lock, lock.getFd(), lock.getType());
    thread.run(batch);
    return (int) call.result();
  }

  private List<file_lock_entry> noted() {
    try {
      return released_locks.parseFrom(Files.readAllBytes(file)).getLockList();
    } catch (InvalidProtocolBufferException e) {
      // Cut off by the end of the agent: then nothing had been given up yet.
      return List.of();
    } catch (IOException e) {
      throw new CheckpointException("reading " + file + ": " + e.getMessage(), e);
    }
  }
}
