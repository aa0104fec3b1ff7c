package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.eventfd_file_entry;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/** {@code eventfd(2)}: a counter, perhaps a semaphore. */
final class EventFd implements FileKind {
  /** {@code linux/eventfd.h}. */
  static final int EFD_SEMAPHORE = 1;

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "eventfd";
  }

  @Override
  public String how() {
    return "is made again with its counter";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isAnonymous("[eventfd]");
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return List.of();
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var info = seen.info();
    boolean semaphore = info.has("eventfd-semaphore") && info.required("eventfd-semaphore").equals("1");
    return file_entry.newBuilder()
        .setType(fd_types.EVENTFD)
        .setId(id)
        .setEfd(
            eventfd_file_entry.newBuilder()
                .setId(id)
                // The access mode is always O_RDWR, so bit 0 is free for the semaphore flag.
                .setFlags(info.statusFlags() | (semaphore ? EFD_SEMAPHORE : 0))
                .setFown(session.owner(copy))
                .setCounter(Long.parseUnsignedLong(info.required("eventfd-count"), 16)))
        .build();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.EVENTFD;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var entry = file.getEfd();
    home.need(4, 8);
    // Not O_NONBLOCK yet: that is a late flag, so that it stands beside the others.
    var made = home.call("eventfd2()", SyscallNumber.EVENTFD2, 0, entry.getFlags() & EFD_SEMAPHORE);
    if (entry.getCounter() != 0) {
      var counter = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(entry.getCounter()).array();
      home.call("write(eventfd)", SyscallNumber.WRITE, 0, home.bytes(counter), 8).link(0, made);
    }
    home.park(made, recreation.slot(file.getId()));
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getEfd().getFlags() & ~(Fd.O_RDWR | EFD_SEMAPHORE);
  }
}
