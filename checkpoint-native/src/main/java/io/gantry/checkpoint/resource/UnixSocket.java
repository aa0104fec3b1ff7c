package io.gantry.checkpoint.resource;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.sk_shutdown;
import io.gantry.checkpoint.image.unix_sk_entry;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.UnixDiag;
import java.util.ArrayList;
import java.util.List;

/**
 * A Unix socket that nobody outside can know: without name and connection, one of a {@code socketpair(2)} inside the
 * container with
 * nothing on the way, or what is left of a pair whose other end was closed (every JVM has one of those). All others are refused.
 */
final class UnixSocket implements FileKind {
  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "Unix socket";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isSocket() && Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN) == Sockets.AF_UNIX;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    UnixDiag socket;
    try {
      socket = inventory.unixSocket(seen.status().inode());
    } catch (KernelException e) {
      if (e.errno() != Errno.ENOENT) {
        throw e;
      }
      return List.of("it belongs to another network namespace");
    }
    var found = new ArrayList<String>();
    if (Sockets.hasFilter(copy)) {
      found.add("it has a packet filter, which cannot be carried");
    }
    if (socket.bound()) {
      found.add("it has a name, so that others can reach it, and such sockets cannot be carried");
    } else if (socket.state() == UnixDiag.LISTEN) {
      found.add("it listens, and such sockets cannot be carried");
    } else if (socket.connected() && socket.peerInode() != 0) {
      var peer = inventory.withLink("socket:[" + socket.peerInode() + "]");
      if (peer.isEmpty()) {
        found.add("it is connected to a socket outside the container");
      } else if (inventory.unixSocket(socket.peerInode()).peerInode() != seen.status().inode()) {
        found.add("the socket it is connected to is not connected to it");
      }
    }
    if (socket.receiveQueue() != 0) {
      found.add("messages wait in it, and cannot be carried");
    }
    return found;
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var socket = session.inventory().unixSocket(seen.status().inode());
    int type = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_TYPE);
    return file_entry.newBuilder()
        .setType(fd_types.UNIXSK)
        .setId(id)
        .setUsk(
            unix_sk_entry.newBuilder()
                .setId(id)
                .setIno((int) seen.status().inode())
                .setType(type)
                .setState(socket.connected() ? UnixDiag.ESTABLISHED : UnixDiag.CLOSE)
                .setFlags(seen.info().statusFlags())
                .setUflags(0)
                .setBacklog(0)
                .setPeer((int) socket.peerInode())
                .setFown(session.owner(copy))
                .setOpts(SocketOptions.capture(copy, Sockets.AF_UNIX, type, 0, session))
                .setName(ByteString.EMPTY)
                .setShutdown(sk_shutdown.forNumber(socket.shutdown() & 3)))
        .build();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.UNIXSK && file.getUsk().getName().isEmpty();
  }

  @Override
  public String group(file_entry file) {
    var entry = file.getUsk();
    return entry.getPeer() == 0
        ? "unix socket " + entry.getId()
        : "unix pair " + Integer.toUnsignedString(Math.min(entry.getIno(), entry.getPeer()));
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var members = recreation.groupOf(file);
    if (members.getFirst().getId() != file.getId()) {
      return;
    }
    var entry = file.getUsk();
    int slot = recreation.slot(file.getId());
    if (entry.getState() == UnixDiag.ESTABLISHED) {
      home.need(5, 16);
      // The stub has no descriptor below the slots, so the two ends are 0 and 1.
      home.call("socketpair()", SyscallNumber.SOCKETPAIR, Sockets.AF_UNIX, entry.getType(), 0, home.reserve(8));
      home.call("dup3(socket)", SyscallNumber.DUP3, 0, slot, Fd.O_CLOEXEC);
      home.call("close(socket)", SyscallNumber.CLOSE, 0);
      if (members.size() > 1) {
        home.call("dup3(socket)", SyscallNumber.DUP3, 1, recreation.slot(members.getLast().getId()), Fd.O_CLOEXEC);
      }
      home.call("close(socket)", SyscallNumber.CLOSE, 1);
    } else {
      home.need(3, 0);
      home.park(home.call("socket()", SyscallNumber.SOCKET, Sockets.AF_UNIX, entry.getType(), 0), slot);
    }
    for (var member : members) {
      settle(member.getUsk(), recreation.slot(member.getId()), home);
    }
  }

  private static void settle(unix_sk_entry entry, int slot, StubDescriptors home) {
    SocketOptions.recreate(entry.getOpts(), slot, home);
    if (entry.getOpts().getReuseaddr()) {
      SocketOptions.set(home, slot, SocketOptions.SO_REUSEADDR, 1);
    }
    int shutdown = entry.getShutdown().getNumber();
    // What is left of a stream pair is shut down by the closing of its other end already.
    if (shutdown != 0 && entry.getPeer() != 0) {
      home.need(1, 0);
      // SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2
      home.call("shutdown(socket)", SyscallNumber.SHUTDOWN, slot, shutdown - 1);
    }
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getUsk().getFlags() & ~Fd.O_RDWR;
  }
}
