package io.gantry.checkpoint.ipc;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.SystemV;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * What the end of one process adds to the semaphores of a set ({@code SEM_UNDO} of {@code semop(2)}). The kernel tells nobody, but it can be asked: it
 * refuses an operation that would bring this number out of its range with ERANGE, before one that would have to wait with EAGAIN ({@code ipc/sem.c},
 * {@code perform_atomic_semop_slow}). So the process is made to try operations that always end in the second, preceded by some whose
 * effect on the number is known; neither changes anything, since operations of one call take effect together or not at all.
 *
 * <p>Tracer thread only; nothing else may use the semaphores meanwhile.
 */
final class SemaphoreUndo {
  /** {@code struct sembuf}: unsigned short number, short operation, short flags. */
  private static final int OPERATION_BYTES = 6;

  private static final int OPERATIONS_MAX = 8;
  private static final int MIN = -SystemV.SEMVMX - 1;

  private final RemoteTask task;
  private final int set;
  private final List<Integer> values;

  SemaphoreUndo(RemoteTask task, int set, List<Integer> values) {
    this.task = task;
    this.set = set;
    this.values = values;
  }

  /** What is not 0, by the semaphore's number. */
  Map<Integer, Integer> read() {
    var found = new TreeMap<Integer, Integer>();
    for (int from = 0; from < values.size(); ) {
      var batch = task.newBatch();
      var positive = new ArrayList<CallBatch.Call>();
      var negative = new ArrayList<CallBatch.Call>();
      int first = from;
      while (from < values.size() && batch.fits(2, 2 * (OPERATIONS_MAX * OPERATION_BYTES + 16))) {
        positive.add(ask(batch, from, SystemV.SEMVMX));
        negative.add(ask(batch, from, MIN));
        from++;
      }
      task.run(batch);
      for (int i = 0; i < positive.size(); i++) {
        if (leavesRange(positive.get(i))) {
          found.put(first + i, search(first + i, 1, SystemV.SEMVMX));
        } else if (leavesRange(negative.get(i))) {
          found.put(first + i, search(first + i, MIN, -1));
        }
      }
    }
    return found;
  }

  /** The number, which is between these. */
  private int search(int number, int low, int high) {
    while (low < high) {
      boolean positive = low > 0;
      int middle = positive ? (low + high + 1) / 2 : Math.floorDiv(low + high, 2);
      var batch = task.newBatch();
      // Out of range exactly when it is at least (or, if negative, at most) the middle.
      var answer = ask(batch, number, positive ? SystemV.SEMVMX + 1 - middle : MIN - 1 - middle);
      task.run(batch);
      boolean beyond = leavesRange(answer);
      if (positive) {
        low = beyond ? middle : low;
        high = beyond ? high : middle - 1;
      } else {
        high = beyond ? middle : high;
        low = beyond ? low : middle + 1;
      }
    }
    return low;
  }

  /** Asks whether the number plus {@code change} is out of range. */
  private CallBatch.Call ask(CallBatch batch, int number, int change) {
    var operations = ByteBuffer.allocate(OPERATIONS_MAX * OPERATION_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    if (values.get(number) > 0) {
      put(operations, number, -values.get(number), false);
    }
    // The semaphore is 0 now. An operation changes the number by the opposite.
    for (int left = change; left != 0; ) {
      int step = Math.min(Math.abs(left), SystemV.SEMVMX);
      put(operations, number, step, left < 0);
      put(operations, number, -step, left > 0);
      left -= left > 0 ? step : -step;
    }
    put(operations, number, -1, false);
    int count = operations.position() / OPERATION_BYTES;
    long at = batch.bytes(operations.array());
    return batch.attempt("semop that fails", SyscallNumber.SEMOP, set, at, count);
  }

  private static void put(ByteBuffer out, int number, int operation, boolean undo) {
    out.putShort((short) number).putShort((short) operation).putShort((short) (SystemV.IPC_NOWAIT | (undo ? SystemV.SEM_UNDO : 0)));
  }

  private boolean leavesRange(CallBatch.Call answer) {
    if (answer.result() == -Errno.ERANGE) {
      return true;
    }
    if (answer.result() == -Errno.EAGAIN) {
      return false;
    }
    throw new CheckpointException(
        "what process " + task.pid() + " owes to semaphore set " + set + " (SEM_UNDO) cannot be found out: semop answered "
            + (answer.result() < 0 ? Errno.describe((int) -answer.result()) : "success")
            + "; the process needs the right to change the set, or remove it with ipcrm(1)");
  }

  /** Adds calls that give a process the number and leave the semaphore's value, which is {@code value}, as it is. */
  static void restore(CallBatch batch, int set, int number, int value, int adjustment) {
    int size = Math.min(Math.abs(adjustment), SystemV.SEMVMX);
    var operations = ByteBuffer.allocate(OPERATIONS_MAX * OPERATION_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    if (value > 0) {
      put(operations, number, -value, false);
    }
    put(operations, number, size, adjustment < 0);
    put(operations, number, -size, adjustment > 0);
    if (adjustment == MIN) {
      put(operations, number, 1, true);
      put(operations, number, -1, false);
    }
    if (value > 0) {
      put(operations, number, value, false);
    }
    int count = operations.position() / OPERATION_BYTES;
    batch.call("semop with SEM_UNDO on set " + set, SyscallNumber.SEMOP, set, batch.bytes(operations.array()), count);
  }

  /** Adds a call that makes this process the one that last operated on a semaphore of this value. */
  static void touch(CallBatch batch, int set, int number, int value) {
    var operations = ByteBuffer.allocate(2 * OPERATION_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    int step = value < SystemV.SEMVMX ? 1 : -1;
    put(operations, number, step, false);
    put(operations, number, -step, false);
    batch.call("semop on set " + set, SyscallNumber.SEMOP, set, batch.bytes(operations.array()), 2);
  }

  /** Adds a call that marks the set as operated on ({@code sem_otime}); all its semaphores are 0 still. */
  static void operate(CallBatch batch, int set, int number) {
    var operations = ByteBuffer.allocate(OPERATION_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    put(operations, number, 0, false);
    batch.call("semop on set " + set, SyscallNumber.SEMOP, set, batch.bytes(operations.array()), 1);
  }
}
