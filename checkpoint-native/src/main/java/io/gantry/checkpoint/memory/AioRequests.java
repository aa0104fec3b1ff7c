package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.Scheduling;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.ProcessorList;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/**
 * Waits until an AIO context has no requests in flight. How many there are no call tells, but each of them, and each event that
 * waits, takes one of a known number of places. So the places that are left are counted, by filling all of them with requests
 * that wait for an eventfd, which then end together; their events are taken out of the ring again. docs/decisions/aio.md tells
 * what an agent's death in between leaves. On the tracer thread, in a process whose threads all stand still.
 */
final class AioRequests {
  /** Requests to files end by themselves. */
  private static final Duration FLIGHT_MAX = Duration.ofMillis(200);

  private static final Duration EVENTS_MAX = Duration.ofSeconds(2);
  private static final long POLL_NS = 500_000;

  /** {@code struct iocb}, {@code linux/aio_abi.h}. */
  private static final int IOCB_BYTES = 64;

  private static final int DATA_AT = 0;
  private static final int OPERATION_AT = 16;
  private static final int DESCRIPTOR_AT = 20;
  private static final int EVENTS_AT = 24;
  private static final short IOCB_CMD_POLL = 5;

  /** {@code struct io_event}: data, obj, res, res2. */
  private static final int EVENT_OBJECT_AT = 8;

  private static final long POLLIN = 1;
  private static final int EFD_CLOEXEC = 0x80000;

  /** Of one io_submit; and how many of them are in a batch. */
  private static final int AT_ONCE = 256;

  private static final int SUBMITS_MAX = 64;

  /** {@code NR_CPUS} of the largest configuration. */
  private static final int MASK_BYTES = 1024;

  private final RemoteTask task;
  private AioRing ring;

  private AioRequests(RemoteTask task, AioRing ring) {
    this.task = task;
    this.ring = ring;
  }

  /** @throws CheckpointException when requests stay in flight, or it is not the process's own */
  static void awaitNone(RemoteTask task, AioRing ring) {
    requireOwn(task, ring);
    int usable = usable(ring, ProcessorList.possible().size());
    if (usable > AT_ONCE * SUBMITS_MAX) {
      throw new CheckpointException(
          name(task, ring) + " has room for " + usable + " requests; those in flight can be counted of at most " + AT_ONCE * SUBMITS_MAX);
    }
    new AioRequests(task, ring).await(usable);
  }

  private static String name(RemoteTask task, AioRing ring) {
    return "the AIO context at 0x" + Long.toHexString(ring.address()) + " of process " + task.pid();
  }

  /** The mapping is inherited by fork(2), the context is not. */
  private static void requireOwn(RemoteTask task, AioRing ring) {
    var batch = task.newBatch();
    long timeout = batch.reserve(16);
    var events = batch.attempt("io_getevents", SyscallNumber.IO_GETEVENTS, ring.address(), 0, 0, 0, timeout);
    task.run(batch);
    if (events.result() < 0) {
      throw new CheckpointException(
          "process " + task.pid() + " has inherited the AIO ring at 0x" + Long.toHexString(ring.address())
              + " from a process that has forked it, and cannot get it elsewhere; let it unmap that or call exec");
    }
  }

  /**
   * How many requests and events a ring can hold. The kernel deals places out to processors in batches, and what is less than a
   * batch to nobody ({@code fs/aio.c}, {@code ioctx_alloc}, {@code __get_reqs_available}).
   */
  static int usable(AioRing ring, int processors) {
    int places = ring.slots() - 1;
    int batch = Math.max(1, places / (processors * 4));
    return places - places % batch;
  }

  private void await(int usable) {
    long end = System.nanoTime() + FLIGHT_MAX.toNanos();
    int flying = usable - count(Optional.empty());
    if (flying > 0) {
      gather();
      flying = usable - count(Optional.empty());
    }
    while (flying > 0) {
      if (System.nanoTime() > end) {
        throw new CheckpointException(
            ("%s has %d requests in flight, which have not ended within %d ms;"
                    + " requests to files do that, those that wait for a descriptor (IOCB_CMD_POLL) cannot be carried")
                .formatted(name(task, ring), flying, FLIGHT_MAX.toMillis()));
      }
      LockSupport.parkNanos(4 * POLL_NS);
      gather();
      flying = usable - count(Optional.empty());
    }
  }

  /** Each processor may keep places for itself: brings them to the one that the thread runs on. */
  private void gather() {
    for (int processor : ProcessorList.possible()) {
      count(Optional.of(processor));
    }
  }

  /**
   * Fills the ring, on one processor if that is given, and empties it again; how many places were free or taken by events that
   * wait.
   */
  private int count(Optional<Integer> processor) {
    ring = ring.again();
    long mark = System.nanoTime() | 1L << 63;
    var batch = task.newBatch();
    long block = batch.bytes(request(mark));
    long pointers = batch.bytes(pointers(block));
    long one = batch.bytes(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(1).array());
    var waker = batch.call("eventfd2", SyscallNumber.EVENTFD2, 0, EFD_CLOEXEC);
    batch.meanwhile(
        "naming the eventfd",
        () -> {
          byte[] number = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt((int) waker.result()).array();
          ProcessVm.write(task.pid(), block + DESCRIPTOR_AT, number, number.length);
        });
    processor.ifPresent(number -> pin(batch, mask(number)));
    var submits = new ArrayList<CallBatch.Call>();
    for (int i = 0; i <= ring.slots() / AT_ONCE; i++) {
      submits.add(batch.attempt("io_submit", SyscallNumber.IO_SUBMIT, ring.address(), AT_ONCE, pointers));
    }
    processor.ifPresent(number -> pin(batch, Scheduling.affinity(task.tid())));
    batch.attempt("write to the eventfd", SyscallNumber.WRITE, 0, one, 8).link(0, waker);
    batch.attempt("close of the eventfd", SyscallNumber.CLOSE, 0).link(0, waker);
    task.run(batch);
    int taken = 0;
    for (var submit : submits) {
      taken += (int) Math.max(0, submit.result());
    }
    return taken + takeOut(mark, block, taken);
  }

  private static void pin(CallBatch batch, byte[] mask) {
    batch.attempt("sched_setaffinity", SyscallNumber.SCHED_SETAFFINITY, 0, mask.length, batch.bytes(mask));
  }

  /** Takes the events of our own requests out of the ring; how many others wait. */
  private int takeOut(long mark, long block, int ours) {
    long end = System.nanoTime() + EVENTS_MAX.toNanos();
    while (true) {
      ring = ring.again();
      var events = ByteBuffer.wrap(ring.events()).order(ByteOrder.LITTLE_ENDIAN);
      var others = new ByteArrayOutputStream();
      int found = 0;
      for (int at = 0; at < events.capacity(); at += AioRing.EVENT_BYTES) {
        if (events.getLong(at) == mark && events.getLong(at + EVENT_OBJECT_AT) == block) {
          found++;
        } else {
          others.write(events.array(), at, AioRing.EVENT_BYTES);
        }
      }
      if (found == ours) {
        if (ours > 0) {
          ring.keep(others.toByteArray());
        }
        return others.size() / AioRing.EVENT_BYTES;
      }
      if (System.nanoTime() > end) {
        throw new CheckpointException(name(task, ring) + " has not given back what was asked of it: " + found + " of " + ours + " events came");
      }
      LockSupport.parkNanos(POLL_NS);
    }
  }

  private static byte[] request(long mark) {
    return ByteBuffer.allocate(IOCB_BYTES)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(DATA_AT, mark)
        .putShort(OPERATION_AT, IOCB_CMD_POLL)
        // Until the eventfd has its number: then the kernel takes none of the requests.
        .putInt(DESCRIPTOR_AT, -1)
        .putLong(EVENTS_AT, POLLIN)
        .array();
  }

  /** The same request as often as it fits. */
  private static byte[] pointers(long block) {
    var pointers = ByteBuffer.allocate(AT_ONCE * 8).order(ByteOrder.LITTLE_ENDIAN);
    while (pointers.hasRemaining()) {
      pointers.putLong(block);
    }
    return pointers.array();
  }

  private static byte[] mask(int processor) {
    byte[] mask = new byte[Math.min(MASK_BYTES, (processor / 64 + 1) * 8)];
    mask[processor / 8] = (byte) (1 << processor % 8);
    return mask;
  }
}
