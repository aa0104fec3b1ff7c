package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.tcp_other_end;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.TcpDiag;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Which TCP sockets of a container are connected with which, and what is at the other end of the rest. One thread. */
final class TcpEnds implements AutoCloseable {
  /**
   * A connected socket, or one that listens.
   *
   * @param seen one of its descriptors
   * @param peer the other end's address; for one that listens its own
   * @param state as {@code net/tcp_states.h} numbers them
   */
  record End(SeenDescriptor seen, InternetAddress local, InternetAddress peer, int state) {
    long inode() {
      return seen.status().inode();
    }

    /** The other end has said that it sends no more. */
    boolean hasReceivedFin() {
      return TcpState.hasReceivedFin(state);
    }
  }

  /**
   * The other end of a connection.
   *
   * @param kind what it is
   * @param partner the socket, or the one that listens in whose queue it is
   * @param obstacle why the connection cannot be carried; empty when it can
   */
  record Other(tcp_other_end kind, Optional<End> partner, Optional<String> obstacle) {}

  private final Map<String, End> connected = new LinkedHashMap<>();
  private final Map<Long, End> byInode = new LinkedHashMap<>();
  private final Map<Long, End> listening = new LinkedHashMap<>();
  private final boolean ownNetwork;
  /** What was found of other ends while nothing changes; asked more than once. */
  private final Map<Long, Other> found = new HashMap<>();

  private final Map<String, Boolean> ofThisHost = new HashMap<>();
  private final boolean still;
  private int monitor = -1;

  private TcpEnds(boolean ownNetwork, boolean still) {
    this.ownNetwork = ownNetwork;
    this.still = still;
  }

  static TcpEnds of(Inventory inventory) {
    var ends = new TcpEnds(inventory.hasOwnNetwork(), inventory.isStill());
    var known = new HashSet<Long>();
    for (var seen : inventory.descriptors()) {
      if (seen.isSocket() && known.add(seen.status().inode())) {
        try {
          int copy = inventory.take(seen);
          try {
            ends.add(seen, copy);
          } finally {
            Fd.close(copy);
          }
        } catch (KernelException e) {
          if (!Inventory.isGone(e)) {
            throw e;
          }
        }
      }
    }
    return ends;
  }

  private void add(SeenDescriptor seen, int copy) {
    if (!InternetSocket.is(seen, copy, Sockets.SOCK_STREAM, Sockets.IPPROTO_TCP)) {
      return;
    }
    int state = TcpState.of(copy);
    var local = InternetAddress.parse(Sockets.localAddress(copy));
    if (state == InternetSocket.LISTEN) {
      listening.put(seen.status().inode(), new End(seen, local, local, state));
    } else {
      Sockets.peerAddress(copy)
          .map(InternetAddress::parse)
          .ifPresent(
              peer -> {
                var end = new End(seen, local, peer, state);
                connected.put(key(local, peer), end);
                byInode.put(end.inode(), end);
              });
    }
  }

  private static String host(InternetAddress address) {
    return new InternetAddress(address.family(), 0, address.address(), 0).text() + "%" + address.scope();
  }

  private static String key(InternetAddress local, InternetAddress peer) {
    return local.plain().text() + " " + peer.plain().text();
  }

  Collection<End> connected() {
    return connected.values();
  }

  Optional<End> withInode(long inode) {
    return Optional.ofNullable(byInode.get(inode));
  }

  Other otherEnd(End end) {
    var known = found.get(end.inode());
    if (known != null) {
      return known;
    }
    var other = look(end);
    // The kernel goes on: between ends of this host something may arrive. Who is outside stays there.
    if (still && other.kind() == tcp_other_end.TCP_OUTSIDE) {
      found.put(end.inode(), other);
    }
    return other;
  }

  private Other look(End end) {
    var partner = connected.get(key(end.peer(), end.local()));
    if (partner != null) {
      return new Other(tcp_other_end.TCP_DESCRIPTOR, Optional.of(partner), Optional.empty());
    }
    var there = ask(end);
    if (there.isPresent() && there.get().inode() == 0 && !TcpState.hasEnded(there.get().state())) {
      return notAccepted(end, there.get());
    }
    boolean local = there.isPresent() ? there.get().inode() == 0 : ofThisHost.computeIfAbsent(host(end.peer()), host -> isOfThisHost(end.peer()));
    if (ownNetwork && there.isEmpty() && !local) {
      // Its address moves along, so the other end need not know that anything happened.
      return new Other(tcp_other_end.TCP_OUTSIDE, Optional.empty(), Optional.empty());
    }
    if (!end.hasReceivedFin() || !local) {
      return refused(
          tcp_other_end.TCP_CLOSED,
          "it is connected from %s to %s, which is outside of the container; such connections move only with a network namespace of the container's own"
              .formatted(end.local().text(), end.peer().text()));
    }
    // What is closed twice is over in a moment; only the half that the program still has can last.
    if (end.state() != TcpState.CLOSE_WAIT) {
      return refused(tcp_other_end.TCP_CLOSED, "it is being closed, and its other end, " + end.peer().text() + ", is closed already");
    }
    return new Other(tcp_other_end.TCP_CLOSED, Optional.empty(), Optional.empty());
  }

  /** The other end has no descriptor and has not been closed: it is in the queue of a socket that listens. */
  private Other notAccepted(End end, TcpDiag child) {
    var kind = tcp_other_end.TCP_IN_BACKLOG;
    var listeners = listening.values().stream().filter(listener -> takes(listener.local(), end.peer())).toList();
    if (listeners.isEmpty()) {
      return refused(
          kind,
          "it is connected from %s to %s, where it waits to be accepted by a process outside of the container"
              .formatted(end.local().text(), end.peer().text()));
    }
    if (listeners.size() > 1) {
      return refused(
          kind, "its other end waits to be accepted at %s, where several sockets listen".formatted(end.peer().text()));
    }
    if (child.receiveQueue() != 0 || child.sendQueue() != 0 || child.state() == TcpState.CLOSE_WAIT) {
      return refused(
          kind,
          "its other end waits to be accepted at %s and has %d bytes already, which nobody but who accepts it can read; accept it first"
              .formatted(end.peer().text(), child.receiveQueue()));
    }
    if (end.state() != TcpState.ESTABLISHED) {
      return refused(kind, "its other end waits to be accepted at %s, and it is being closed".formatted(end.peer().text()));
    }
    return new Other(kind, Optional.of(listeners.getFirst()), Optional.empty());
  }

  private static Other refused(tcp_other_end kind, String obstacle) {
    return new Other(kind, Optional.empty(), Optional.of(obstacle));
  }

  private static boolean takes(InternetAddress listener, InternetAddress called) {
    return listener.port() == called.port()
        && (listener.isAny() || listener.plain().text().equals(called.plain().text()));
  }

  /** How many connections that wait at this socket come from sockets of the container and can be carried. */
  long waitingAt(long listenerInode) {
    return connected.values().stream().filter(end -> waitsAt(end, listenerInode)).count();
  }

  private boolean waitsAt(End end, long listenerInode) {
    var other = otherEnd(end);
    return other.kind() == tcp_other_end.TCP_IN_BACKLOG
        && other.partner().filter(listener -> listener.inode() == listenerInode).isPresent()
        // With TCP_DEFER_ACCEPT it is not in the queue before it has sent something.
        && ask(end).filter(child -> child.state() == TcpState.ESTABLISHED).isPresent();
  }

  private Optional<TcpDiag> ask(End end) {
    if (monitor < 0) {
      monitor = TcpDiag.open();
    }
    var local = end.local().plain();
    var peer = end.peer().plain();
    return TcpDiag.query(monitor, local.family(), peer.address(), peer.port(), local.address(), local.port());
  }

  /** Only an address that is this host's own can be bound. */
  private static boolean isOfThisHost(InternetAddress address) {
    int probe = Sockets.create(address.family(), Sockets.SOCK_DGRAM, 0);
    try {
      return Sockets.bind(probe, new InternetAddress(address.family(), 0, address.address(), address.scope()).raw()) == 0;
    } finally {
      Fd.close(probe);
    }
  }

  /** For people: all connections and both their addresses. */
  List<String> named() {
    return connected.values().stream().map(end -> end.local().text() + " " + end.peer().text()).toList();
  }

  @Override
  public void close() {
    if (monitor >= 0) {
      Fd.close(monitor);
      monitor = -1;
    }
  }
}
