package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.signalfd_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/** {@code signalfd(2)}: a set of signals. The signals themselves wait in the queues of processes and threads. */
final class SignalFd implements FileKind {
  /** {@code sizeof(sigset_t)} in the kernel, bytes. */
  private static final int SIGSET_BYTES = 8;

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "signalfd";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isAnonymous("[signalfd]");
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return List.of();
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var entry =
        signalfd_entry.newBuilder()
            .setId(id)
            .setFlags(seen.info().statusFlags())
            .setFown(session.owner(copy))
            .setSigmask(Long.parseUnsignedLong(seen.info().required("sigmask"), 16));
    return file_entry.newBuilder().setType(fd_types.SIGNALFD).setId(id).setSgfd(entry).build();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.SIGNALFD;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    home.need(3, SIGSET_BYTES);
    var mask = ByteBuffer.allocate(SIGSET_BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(file.getSgfd().getSigmask()).array();
    home.park(
        home.call("signalfd4()", SyscallNumber.SIGNALFD4, -1, home.bytes(mask), SIGSET_BYTES, 0), recreation.slot(file.getId()));
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getSgfd().getFlags() & ~Fd.O_RDWR;
  }
}
