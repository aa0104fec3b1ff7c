package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Pidfd;
import io.gantry.checkpoint.linux.SocketRights;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Hands descriptors of the agent to a stub, through a socket pair that the stub made itself, so that it works whatever namespaces and
 * mounts the stub has. On the tracer thread; closed before the stub does anything else with its descriptors.
 */
public final class DescriptorGift implements AutoCloseable {
  private static final int AF_UNIX = 1;

  /** {@code SOCK_DGRAM | SOCK_CLOEXEC}. */
  private static final int DATAGRAM = 2 | Fd.O_CLOEXEC;

  /** {@code linux/socket.h}: what is received is close-on-exec. */
  private static final int MSG_CMSG_CLOEXEC = 0x40000000;

  private final RemoteTask task;
  private final int theirs;
  private final int ours;

  /** @param task a stopped stub whose descriptors nobody else fills meanwhile */
  public DescriptorGift(RemoteTask task) {
    this.task = task;
    var batch = task.newBatch();
    long pair = batch.reserve(8);
    batch.call("socketpair", SyscallNumber.SOCKETPAIR, AF_UNIX, DATAGRAM, 0, pair);
    task.run(batch);
    var ends = ByteBuffer.wrap(batch.read(pair, 8)).order(ByteOrder.LITTLE_ENDIAN);
    theirs = ends.getInt(0);
    int other = ends.getInt(4);
    int pidfd = Pidfd.open(task.pid());
    try {
      ours = Pidfd.getfd(pidfd, other);
    } finally {
      Fd.close(pidfd);
    }
    task.call("close", SyscallNumber.CLOSE, other);
  }

  /** Returns the number that the descriptor has in the stub, which has to close it. */
  public int give(int descriptor) {
    SocketRights.send(ours, descriptor);
    var batch = task.newBatch();
    // The header holds addresses inside itself; a reservation of nothing tells where the next one will be.
    long header = batch.bytes(SocketRights.header(batch.reserve(0)));
    batch.call("recvmsg", SyscallNumber.RECVMSG, theirs, header, MSG_CMSG_CLOEXEC);
    task.run(batch);
    return ByteBuffer.wrap(batch.read(header, SocketRights.BYTES)).order(ByteOrder.LITTLE_ENDIAN).getInt(SocketRights.DESCRIPTOR_AT);
  }

  @Override
  public void close() {
    Fd.close(ours);
    task.call("close", SyscallNumber.CLOSE, theirs);
  }
}
