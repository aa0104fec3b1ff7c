package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.SocketMessages;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.UnixDiag;
import java.util.ArrayList;
import java.util.List;

/** Why a Unix socket cannot be carried: mostly, because its other end stays behind. */
final class UnixObstacles {
  private static final char UNREADABLE = '\ufffd';
  /** Both directions shut down, which the kernel does to what is left of a connection. */
  private static final int SHUT_BOTH = 3;

  private UnixObstacles() {}

  static List<String> find(SeenDescriptor seen, int copy, Inventory inventory) {
    long inode = seen.status().inode();
    var known = inventory.findUnixSocket(inode);
    if (known.isEmpty()) {
      return List.of("it belongs to another network namespace");
    }
    var socket = known.get();
    var found = new ArrayList<String>();
    if (Sockets.hasForeignFilter(copy)) {
      found.add("it has an eBPF filter (SO_ATTACH_BPF), which cannot be read back");
    }
    if (socket.hasPath()) {
      path(copy, socket, inventory, found);
    }
    if (socket.isListening()) {
      pending(socket, inventory, found);
    } else if (socket.connected() && socket.peerInode() != 0) {
      peer(inode, copy, socket, inventory, found);
    } else if (socket.connected() && !socket.isDatagram() && socket.shutdown() != SHUT_BOTH) {
      if (UnixSocket.waitingAt(inode, inventory).isEmpty()) {
        found.add("it waits to be accepted by a socket outside the container, named " + UnixSocket.peerName(copy).text());
      } else if (Sockets.bytesOnTheWay(copy) != 0) {
        found.add(
            "it waits to be accepted at %s and has sent data already, which nobody can read before that"
                .formatted(UnixSocket.peerName(copy).text()));
      }
    }
    if (socket.receiveQueue() != 0 && !socket.isListening()) {
      queue(copy, socket, found);
    }
    return found;
  }

  private static void path(int copy, UnixDiag socket, Inventory inventory, List<String> found) {
    if (new UnixName(socket.name()).path().isEmpty()) {
      found.add("its name " + new UnixName(socket.name()).text() + " is not valid UTF-8");
      return;
    }
    var file = Sockets.unixFile(copy);
    if (file.isEmpty()) {
      return;
    }
    try {
      var path = OwnLink.of(file.getAsInt());
      var status = FileStatus.of(file.getAsInt());
      if (path.indexOf(UNREADABLE) >= 0) {
        found.add("its file's name " + path + " is not valid UTF-8; rename the file");
      } else if (!OwnLink.isDeleted(path, status)
          && !FileStatus.ofLink(inventory.root() + path).filter(status::sameInode).isPresent()) {
        found.add("its file " + path + " cannot be reached from the container's root: something was mounted over it");
      }
    } finally {
      Fd.close(file.getAsInt());
    }
  }

  private static void pending(UnixDiag socket, Inventory inventory, List<String> found) {
    for (long client : socket.pending()) {
      if (client == 0) {
        found.add("a connection waits to be accepted whose other end was closed already; what it sent cannot be read");
      } else if (isOutside(client, inventory)) {
        found.add(
            "a connection from outside the container waits to be accepted (" + Outsiders.holder(client) + ")");
      }
    }
  }

  private static void peer(long inode, int copy, UnixDiag socket, Inventory inventory, List<String> found) {
    if (isOutside(socket.peerInode(), inventory)) {
      found.add(
          "it is connected to a socket outside the container, named %s (%s)"
              .formatted(UnixSocket.peerName(copy).text(), Outsiders.holder(socket.peerInode())));
      return;
    }
    var peer = inventory.findUnixSocket(socket.peerInode());
    if (peer.isPresent() && peer.get().peerInode() != inode && peer.get().name().length == 0) {
      found.add("the socket it is connected to (inode " + socket.peerInode() + ") is not connected to it and has no name");
    }
  }

  /** While the container runs, what no process has open may be on its way in a message. */
  private static boolean isOutside(long inode, Inventory inventory) {
    return inventory.withLink("socket:[" + inode + "]").isEmpty()
        && (inventory.isStill() || Outsiders.isHeld(inode) || !inventory.hasMessages());
  }

  private static void queue(int copy, UnixDiag socket, List<String> found) {
    if (socket.type() == Sockets.SOCK_STREAM) {
      try (var messages = new SocketMessages(0)) {
        if (messages.hasUrgent(copy)) {
          found.add("a byte of urgent data (MSG_OOB) waits in it, and cannot be carried");
        }
      }
    }
    if (socket.isDatagram() && socket.name().length == 0 && !socket.connected()) {
      found.add("datagrams wait in it, and it has neither a name nor another end any more to which they could be sent again");
    }
  }
}
