package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.file_lock_entry;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;

/** Takes the locks that the container held, each in the stub of its owner. Only the stubs' tracer thread may use it. */
final class LockArrival {
  /** For a lock that the original has not given up yet: it does so when the freezer has it, which happens meanwhile. */
  private static final long WAIT_MAX_NS = Duration.ofSeconds(10).toNanos();

  private static final int RETRY_NS = 500_000;

  private LockArrival() {}

  /** While the stub is root still: leases, which only an owner of the file or {@code CAP_LEASE} may take. */
  static void takeLeases(descriptors_entry image, Map<Integer, StubDescriptors> stubs) {
    for (var lock : image.getLockList()) {
      if (lock.getFlag() == FileLock.LEASE) {
        var task = stubs.get(lock.getPid()).task();
        var batch = task.newBatch();
        var call = FileLock.add(batch, lock, lock.getFd(), lock.getType());
        task.run(batch);
        if (call.result() < 0) {
          throw refused(lock, call.result());
        }
      }
    }
  }

  /** Everything else. Call it when nothing opens or closes files any more: the first close of a file ends a process's POSIX locks on it. */
  static void take(descriptors_entry image, Map<Integer, RemoteTask> tasks) {
    var byProcess = new LinkedHashMap<Integer, List<file_lock_entry>>();
    for (var lock : image.getLockList()) {
      if (lock.getFlag() != FileLock.LEASE) {
        byProcess.computeIfAbsent(lock.getPid(), pid -> new ArrayList<>()).add(lock);
      }
    }
    long endNs = System.nanoTime() + WAIT_MAX_NS;
    byProcess.forEach((pid, locks) -> take(tasks.get(pid), locks, endNs));
  }

  private static void take(RemoteTask task, List<file_lock_entry> locks, long endNs) {
    var left = locks;
    while (true) {
      var refused = new ArrayList<file_lock_entry>();
      for (int from = 0; from < left.size(); ) {
        var batch = task.newBatch();
        var calls = new LinkedHashMap<file_lock_entry, CallResult>();
        for (; from < left.size() && batch.fits(1, FileLock.FLOCK_BYTES); from++) {
          var lock = left.get(from);
          calls.put(lock, FileLock.add(batch, lock, lock.getFd(), lock.getType())::result);
        }
        task.run(batch);
        calls.forEach(
            (lock, result) -> {
              long answer = result.get();
              if (answer == -Errno.EAGAIN || answer == -Errno.EACCES) {
                if (System.nanoTime() > endNs) {
                  throw refused(lock, answer);
                }
                refused.add(lock);
              } else if (answer < 0) {
                throw refused(lock, answer);
              }
            });
      }
      if (refused.isEmpty()) {
        return;
      }
      left = refused;
      LockSupport.parkNanos(RETRY_NS);
    }
  }

  /** What a call answered, once its batch has run. */
  private interface CallResult {
    long get();
  }

  private static CheckpointException refused(file_lock_entry lock, long answer) {
    return new CheckpointException(
        "process %d of the container holds %s through descriptor %d, and taking it here failed with %s%s"
            .formatted(lock.getPid(), FileLock.describe(lock), lock.getFd(), Errno.describe((int) -answer),
                answer == -Errno.EAGAIN ? ": another process has the file; see /proc/locks" : ""));
  }
}
