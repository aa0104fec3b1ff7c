package io.gantry.checkpoint.resource;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.file_perms_entry;
import io.gantry.checkpoint.image.sk_shutdown;
import io.gantry.checkpoint.image.unix_sk_entry;
import io.gantry.checkpoint.image.unix_sk_origin;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.Poll;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.UnixDiag;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Optional;

/**
 * A Unix socket ({@code man 7 unix}) of any type, whose other end, if it has one, is in the container too. Each is described by
 * how it
 * came to be; {@link UnixConnections} brings them together again.
 */
final class UnixSocket implements FileKind {
  private static final int SO_PEERCRED = 17;

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "Unix socket";
  }

  @Override
  public String how() {
    return "both ends are made again with what is on its way between them";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isSocket() && Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN) == Sockets.AF_UNIX;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return UnixObstacles.find(seen, copy, inventory);
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var inventory = session.inventory();
    long inode = seen.status().inode();
    var socket = inventory.unixSocket(inode);
    var origin = origin(inode, socket, copy, inventory);
    var entry =
        unix_sk_entry.newBuilder()
            .setId(id)
            .setIno((int) inode)
            .setType(socket.type())
            .setState(socket.isListening() ? UnixDiag.LISTEN : socket.connected() ? UnixDiag.ESTABLISHED : UnixDiag.CLOSE)
            .setFlags(seen.info().statusFlags())
            .setUflags(0)
            .setBacklog(socket.isListening() ? socket.backlog() : 0)
            .setPeer((int) socket.peerInode())
            .setFown(session.owner(copy))
            .setOpts(SocketOptions.capture(copy, Sockets.AF_UNIX, socket.type(), 0, session))
            .setName(ByteString.copyFrom(socket.name()))
            .setShutdown(sk_shutdown.forNumber(socket.shutdown() & 3))
            .setOrigin(origin);
    socket.pending().forEach(pending -> entry.addPending(pending.intValue()));
    if (socket.connected()) {
      entry.setPeerName(ByteString.copyFrom(peerName(copy).bytes()));
      if (socket.peerInode() == 0) {
        waitingAt(inode, inventory).ifPresent(listener -> entry.setPeer(listener.intValue()));
        entry.setReset((Poll.await(copy, 0, 0) & Poll.ERR) != 0);
      }
    }
    credentials(copy, entry, session);
    if (socket.hasPath() && origin != unix_sk_origin.ACCEPTED) {
      file(copy, entry, session);
    }
    return file_entry.newBuilder().setType(fd_types.UNIXSK).setId(id).setUsk(entry).build();
  }

  private static void credentials(int copy, unix_sk_entry.Builder entry, CaptureSession session) {
    // struct ucred: pid, uid, gid; -1 for a user says that there are none.
    var raw = ByteBuffer.wrap(Sockets.option(copy, Sockets.SOL_SOCKET, SO_PEERCRED).orElseThrow()).order(ByteOrder.LITTLE_ENDIAN);
    if (raw.getInt(4) != -1) {
      int pid = raw.getInt(0) == 0 ? 0 : session.inventory().nsId(raw.getInt(0)).orElse(0);
      entry.setPeerPid(pid).setPeerUid(session.user(raw.getInt(4))).setPeerGid(session.group(raw.getInt(8)));
    }
  }

  private static void file(int copy, unix_sk_entry.Builder entry, CaptureSession session) {
    int file = Sockets.unixFile(copy).orElseThrow();
    try {
      var status = FileStatus.of(file);
      entry.setFilePerms(
          file_perms_entry.newBuilder()
              .setMode(status.mode() & 07777)
              .setUid(session.user(status.uid()))
              .setGid(session.group(status.gid())));
      var path = OwnLink.of(file);
      if (OwnLink.isDeleted(path, status)) {
        entry.setDeleted(true);
      } else {
        entry.setPath(path);
      }
    } finally {
      Fd.close(file);
    }
  }

  static UnixName peerName(int copy) {
    return Sockets.peerAddress(copy).map(UnixName::parse).orElse(new UnixName(new byte[0]));
  }

  /** The inode of the listener at which a connection waits to be accepted. */
  static Optional<Long> waitingAt(long inode, Inventory inventory) {
    return inventory.unixListeners().entrySet().stream()
        .filter(listener -> listener.getValue().pending().contains(inode))
        .map(listener -> listener.getKey())
        .findFirst();
  }

  private static unix_sk_origin origin(long inode, UnixDiag socket, int copy, Inventory inventory) {
    if (!socket.connected() || socket.isListening()) {
      return unix_sk_origin.SOCKET;
    }
    boolean named = socket.name().length > 0;
    if (socket.isDatagram()) {
      if (socket.peerInode() == 0) {
        return unix_sk_origin.SOCKETPAIR;
      }
      var peer = inventory.unixSocket(socket.peerInode());
      boolean mutual = peer.peerInode() == inode;
      return mutual && (!named || peer.name().length == 0) ? unix_sk_origin.SOCKETPAIR : unix_sk_origin.SOCKET;
    }
    boolean peerNamed = !peerName(copy).isNone();
    if (!named || !peerNamed) {
      return named ? unix_sk_origin.ACCEPTED : peerNamed ? unix_sk_origin.CONNECTED : unix_sk_origin.SOCKETPAIR;
    }
    // An accepted socket has its listener's name; which end that is can only be told while the listener lives.
    var own = new UnixName(socket.name()).key();
    var other = peerName(copy).key();
    var listening = inventory.unixListeners().values().stream().map(listener -> new UnixName(listener.name()).key()).toList();
    boolean accepted =
        listening.contains(own) != listening.contains(other) ? listening.contains(own) : inode > socket.peerInode();
    return accepted && waitingAt(inode, inventory).isEmpty() ? unix_sk_origin.ACCEPTED : unix_sk_origin.CONNECTED;
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.UNIXSK;
  }

  @Override
  public String group(file_entry file) {
    var entry = file.getUsk();
    return switch (entry.getOrigin()) {
      case SOCKETPAIR ->
          entry.getPeer() == 0
              ? "unix socket " + entry.getId()
              : "unix pair " + Integer.toUnsignedString(Math.min(entry.getIno(), entry.getPeer()));
      case ACCEPTED -> UnixConnections.door(entry.getType(), entry.getName());
      case SOCKET ->
          entry.getState() == UnixDiag.LISTEN
              ? UnixConnections.door(entry.getType(), entry.getName())
              : "unix socket " + entry.getId();
      case CONNECTED -> "unix socket " + entry.getId();
    };
  }

  /** What {@code SO_PEERCRED} says is who called {@code socketpair}, {@code listen} or {@code connect}. */
  @Override
  public int maker(file_entry file, Recreation recreation) {
    var entry = file.getUsk();
    return switch (entry.getOrigin()) {
      case SOCKETPAIR -> entry.getPeerPid();
      case SOCKET -> entry.getState() == UnixDiag.LISTEN ? entry.getPeerPid() : 0;
      case ACCEPTED -> recreation.unix().byInode(entry.getPeer()).map(unix_sk_entry::getPeerPid).orElse(0);
      case CONNECTED -> recreation.unix().byInode(entry.getPeer())
          .filter(peer -> peer.getOrigin() == unix_sk_origin.ACCEPTED)
          .map(unix_sk_entry::getPeerPid)
          .orElse(0);
    };
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var entry = file.getUsk();
    int slot = recreation.slot(file.getId());
    var connections = recreation.unix();
    switch (entry.getOrigin()) {
      case SOCKETPAIR -> pair(file, home, recreation);
      case ACCEPTED -> connections.accepted(entry, home, slot);
      case SOCKET, CONNECTED -> {
        home.need(3, 0);
        home.park(home.call("socket()", SyscallNumber.SOCKET, Sockets.AF_UNIX, entry.getType(), 0), slot);
        connections.made(entry, home, slot);
      }
    }
  }

  private static void pair(file_entry file, StubDescriptors home, Recreation recreation) {
    var members = recreation.groupOf(file);
    if (members.getFirst().getId() != file.getId()) {
      return;
    }
    var first = members.getFirst().getUsk();
    int slot = recreation.slot(first.getId());
    int otherSlot = members.size() > 1 ? recreation.slot(members.getLast().getId()) : recreation.freshSlot();
    home.need(5, 16);
    UnixConnections.asPeer(
        first,
        home,
        // The stub has no descriptor below the slots, so the two ends are 0 and 1.
        () -> home.call("socketpair()", SyscallNumber.SOCKETPAIR, Sockets.AF_UNIX, first.getType(), 0, home.reserve(8)));
    home.need(4, 0);
    home.call("dup3(socket)", SyscallNumber.DUP3, 0, slot, Fd.O_CLOEXEC);
    home.call("close(socket)", SyscallNumber.CLOSE, 0);
    home.call("dup3(socket)", SyscallNumber.DUP3, 1, otherSlot, Fd.O_CLOEXEC);
    home.call("close(socket)", SyscallNumber.CLOSE, 1);
    for (var member : members) {
      recreation.unix().made(member.getUsk(), home, recreation.slot(member.getId()));
    }
    if (members.size() == 1) {
      recreation.unix().otherEnd(first, home, otherSlot);
    }
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getUsk().getFlags() & ~Fd.O_RDWR;
  }
}
