package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.aio_ring_entry;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Memfd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.memory.StubProvider.Stub;
import io.gantry.checkpoint.procfs.Maps;
import io.gantry.checkpoint.tracee.CallBatch;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Makes an AIO context at the address that is its id. Where the next event goes is known to the kernel alone, and moves on only
 * by requests that end: so as many are made as it takes, reads of an empty file, and then their events get the content of those
 * that wait. On the tracer thread, when everything else is mapped.
 */
final class AioArrival {
  /** {@code struct iocb}, {@code linux/aio_abi.h}. */
  private static final int IOCB_BYTES = 64;

  private static final int OPERATION_AT = 16;
  private static final int DESCRIPTOR_AT = 20;
  private static final int BUFFER_AT = 24;
  private static final int LENGTH_AT = 32;
  private static final short IOCB_CMD_PREAD = 0;

  private static final int AT_ONCE = 1024;

  private AioArrival() {}

  static void make(Stub stub, aio_ring_entry wanted) {
    var ring = move(stub, setUp(stub, wanted), wanted);
    int head = Integer.remainderUnsigned(wanted.getHead(), ring.slots());
    byte[] events = wanted.getEvents().toByteArray();
    int file = createFile(stub);
    // Read at once, but for those that are to wait.
    int atOnce = Math.clamp((ring.slots() - 1) / 2, 1, AT_ONCE);
    for (int left = head; left > 0; left -= atOnce) {
      complete(stub, ring, file, Math.min(left, atOnce), true);
    }
    int waiting = events.length / AioRing.EVENT_BYTES;
    for (int left = waiting; left > 0; left -= AT_ONCE) {
      complete(stub, ring, file, Math.min(left, AT_ONCE), false);
    }
    stub.call("close", SyscallNumber.CLOSE, file);
    ring.put(events, head);
    var now = ring.again();
    if (now.head() != head || now.unread() != waiting) {
      throw new CheckpointException(
          "the AIO ring at 0x%x of the process being built (%d) has its events from %d to %d, which should be %d from %d on"
              .formatted(wanted.getId(), stub.pid(), now.head(), now.tail(), waiting, head));
    }
  }

  private static AioRing setUp(Stub stub, aio_ring_entry wanted) {
    int requests = wanted.getNrReq();
    var batch = stub.newBatch();
    long context = batch.bytes(new byte[8]);
    var made = batch.attempt("io_setup", SyscallNumber.IO_SETUP, requests, context);
    stub.run(batch);
    if (made.result() == -Errno.EAGAIN) {
      throw new CheckpointException(
          "this host allows no more AIO contexts: a process of the container needs one of " + requests
              + " requests; raise fs.aio-max-nr (man 2 io_setup)");
    }
    if (made.result() < 0) {
      throw new KernelException("io_setup(" + requests + ") in process " + stub.pid(), (int) -made.result());
    }
    long address = ByteBuffer.wrap(batch.read(context, 8)).order(ByteOrder.LITTLE_ENDIAN).getLong();
    var mapping =
        Maps.read(stub.pid()).stream()
            .filter(each -> each.start() == address)
            .findFirst()
            .orElseThrow(() -> new CheckpointException("io_setup in process " + stub.pid() + " mapped no ring at 0x" + Long.toHexString(address)));
    var ring = AioRing.read(stub.pid(), address, mapping.end() - mapping.start());
    if (ring.bytes() != wanted.getRingLen()) {
      throw new CheckpointException(
          "this host's kernel makes an AIO ring of %d bytes for %d requests, where the original's has %d; move to a host with as many processors"
              .formatted(ring.bytes(), requests, wanted.getRingLen()));
    }
    return ring;
  }

  /** The kernel follows ({@code fs/aio.c}, {@code aio_ring_mremap}). */
  private static AioRing move(Stub stub, AioRing ring, aio_ring_entry wanted) {
    stub.call(
        "mremap of an AIO ring",
        SyscallNumber.MREMAP,
        ring.address(),
        ring.bytes(),
        ring.bytes(),
        Mmap.MREMAP_MAYMOVE | Mmap.MREMAP_FIXED,
        wanted.getId());
    return AioRing.read(stub.pid(), wanted.getId(), ring.bytes());
  }

  private static int createFile(Stub stub) {
    var batch = stub.newBatch();
    var created = batch.call("memfd_create", SyscallNumber.MEMFD_CREATE, batch.string("aio"), Memfd.CLOEXEC);
    stub.run(batch);
    return (int) created.result();
  }

  /** Makes requests that end at once, and takes their events out again or not. */
  private static void complete(Stub stub, AioRing ring, int file, int count, boolean read) {
    var batch = stub.newBatch();
    long buffer = batch.reserve(16);
    long block = batch.bytes(request(file, buffer));
    var pointers = ByteBuffer.allocate(count * 8).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < count; i++) {
      pointers.putLong(block);
    }
    var submitted = batch.call("io_submit", SyscallNumber.IO_SUBMIT, ring.address(), count, batch.bytes(pointers.array()));
    CallBatch.Call taken = submitted;
    if (read) {
      long events = batch.reserve(count * AioRing.EVENT_BYTES);
      taken = batch.call("io_getevents", SyscallNumber.IO_GETEVENTS, ring.address(), count, count, events, batch.bytes(new byte[16]));
    }
    stub.run(batch);
    if (submitted.result() != count || taken.result() != count) {
      throw new CheckpointException(
          "the AIO ring at 0x%x of the process being built (%d) took %d and gave %d of %d requests"
              .formatted(ring.address(), stub.pid(), submitted.result(), taken.result(), count));
    }
  }

  private static byte[] request(int file, long buffer) {
    return ByteBuffer.allocate(IOCB_BYTES)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putShort(OPERATION_AT, IOCB_CMD_PREAD)
        .putInt(DESCRIPTOR_AT, file)
        .putLong(BUFFER_AT, buffer)
        .putLong(LENGTH_AT, 1)
        .array();
  }
}
