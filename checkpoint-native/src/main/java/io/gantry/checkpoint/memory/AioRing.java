package io.gantry.checkpoint.memory;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.aio_ring_entry;
import io.gantry.checkpoint.linux.ProcessVm;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * The ring of an AIO context, in which the kernel puts the events of requests that have ended ({@code struct aio_ring}, {@code
 * fs/aio.c}). Where it is mapped is the id of the context. One thread.
 *
 * @param pid the process it belongs to, as the host counts
 * @param address where it is mapped
 * @param bytes how long the mapping is
 * @param slots room for events, of which one always stays free
 * @param head the next event to be read
 * @param tail behind the last event
 */
record AioRing(int pid, long address, long bytes, int slots, int head, int tail) {
  /** What {@code /proc/PID/maps} calls it. */
  static final String NAME = "/[aio]";

  static final int HEADER_BYTES = 32;
  static final int EVENT_BYTES = 32;

  private static final int SLOTS_AT = 4;
  private static final int HEAD_AT = 8;
  private static final int TAIL_AT = 12;
  private static final int MAGIC_AT = 16;
  private static final int MAGIC = 0xa10a10a1;

  /** Of a mapping called {@link #NAME}. */
  static AioRing read(int pid, long address, long bytes) {
    var header = ByteBuffer.wrap(ProcessVm.read(pid, address, HEADER_BYTES)).order(ByteOrder.LITTLE_ENDIAN);
    int slots = header.getInt(SLOTS_AT);
    if (header.getInt(MAGIC_AT) != MAGIC || slots <= 0 || slots > (bytes - HEADER_BYTES) / EVENT_BYTES) {
      throw new CheckpointException(
          "the AIO ring at 0x%x of process %d has not the form that this kernel gives rings; the program has overwritten it"
              .formatted(address, pid));
    }
    // The program may write anything there, and the kernel does the same with it (aio_read_events_ring).
    int head = Integer.remainderUnsigned(header.getInt(HEAD_AT), slots);
    return new AioRing(pid, address, bytes, slots, head, Integer.remainderUnsigned(header.getInt(TAIL_AT), slots));
  }

  /** As it is now. */
  AioRing again() {
    return read(pid, address, bytes);
  }

  /** How many events wait. */
  int unread() {
    return Math.floorMod(tail - head, slots);
  }

  /** The events that wait, in their order, {@link #EVENT_BYTES} each. */
  byte[] events() {
    byte[] events = new byte[unread() * EVENT_BYTES];
    for (int i = 0; i < unread(); ) {
      int slot = (head + i) % slots;
      int together = Math.min(unread() - i, slots - slot);
      System.arraycopy(ProcessVm.read(pid, at(slot), together * EVENT_BYTES), 0, events, i * EVENT_BYTES, together * EVENT_BYTES);
      i += together;
    }
    return events;
  }

  /** Makes these events the only ones that wait; they must be fewer than those that did. */
  void keep(byte[] events) {
    int first = Math.floorMod(tail - events.length / EVENT_BYTES, slots);
    put(events, first);
    ProcessVm.write(pid, address + HEAD_AT, ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(first).array(), 4);
  }

  /** Writes events into slots. */
  void put(byte[] events, int first) {
    int count = events.length / EVENT_BYTES;
    for (int i = 0; i < count; ) {
      int slot = (first + i) % slots;
      int together = Math.min(count - i, slots - slot);
      var piece = Arrays.copyOfRange(events, i * EVENT_BYTES, (i + together) * EVENT_BYTES);
      ProcessVm.write(pid, at(slot), piece, piece.length);
      i += together;
    }
  }

  private long at(int slot) {
    return address + HEADER_BYTES + (long) slot * EVENT_BYTES;
  }

  /**
   * The smallest number of requests for which the kernel makes a ring of so many bytes: twice the requests and two more events,
   * or as many as it takes for four requests for each processor ({@code fs/aio.c}, {@code aio_setup_ring}, {@code ioctx_alloc}).
   */
  static int requests(long bytes) {
    long perPage = Mmap.PAGE / EVENT_BYTES;
    return (int) Math.max(1, (bytes / Mmap.PAGE - 1) * perPage / 2 - 1);
  }

  aio_ring_entry toEntry() {
    return aio_ring_entry.newBuilder()
        .setId(address)
        .setNrReq(requests(bytes))
        .setRingLen((int) bytes)
        .setHead(head)
        .setEvents(ByteString.copyFrom(events()))
        .build();
  }
}
