package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.inet_sk_entry;
import io.gantry.checkpoint.image.sk_opts_entry;
import io.gantry.checkpoint.image.tcp_connection_entry;
import io.gantry.checkpoint.image.tcp_other_end;
import io.gantry.checkpoint.linux.Poll;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.TcpRepair;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;

/**
 * One end of a TCP connection whose other end is in the container too: as a descriptor, as what is left when that was closed, or in the
 * queue of a socket that listens; or, when the container has a network namespace of its own, somewhere outside.
 * {@link TcpStreams} reads it, {@link TcpRevival} makes it again.
 */
final class TcpConnection implements FileKind {
  private static final int TCP_ULP = 31;
  private static final int SO_PEEK_OFF = 42;

  /** IP_MULTICAST_TTL, LOOP, ALL; IPV6_MULTICAST_HOPS, LOOP: what an accepted socket has there comes from the packet that called it. */
  private static final Set<Integer> MULTICAST = Set.of(33, 34, 49);

  private static final Set<Integer> MULTICAST6 = Set.of(18, 19);

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "TCP connection";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return InternetSocket.is(seen, copy, Sockets.SOCK_STREAM, Sockets.IPPROTO_TCP) && isConnected(TcpState.of(copy));
  }

  private static boolean isConnected(int state) {
    return state != TcpState.LISTEN && state != TcpState.CLOSE;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    var found = new ArrayList<>(InternetSocket.obstacles(copy));
    var end = inventory.tcpEnds().withInode(seen.status().inode());
    if (end.isEmpty()) {
      found.add(
          "it is being connected from " + InternetAddress.parse(Sockets.localAddress(copy)).text()
              + ", and the other end has not answered yet; such a connection cannot be carried");
      return found;
    }
    inventory.tcpEnds().otherEnd(end.get()).obstacle().ifPresent(found::add);
    int events = Poll.await(copy, Poll.PRI, 0);
    if ((events & Poll.PRI) != 0) {
      found.add("urgent data waits in it (MSG_OOB), which cannot be carried; receive it first");
    }
    if ((events & Poll.ERR) != 0) {
      found.add("an error or a notice waits at it (SO_ERROR, MSG_ERRQUEUE), which cannot be carried; receive it first");
    }
    if (Sockets.option(copy, Sockets.IPPROTO_TCP, TCP_ULP).filter(name -> name.length > 0).isPresent()) {
      found.add("the kernel does part of the protocol above it (TCP_ULP, such as TLS), which cannot be carried");
    }
    if (Sockets.option(copy, Sockets.SOL_SOCKET, SO_PEEK_OFF).map(TcpConnection::number).orElse(-1) != -1) {
      found.add("it looks into its queue from an offset (SO_PEEK_OFF), which cannot be carried");
    }
    return found;
  }

  private static int number(byte[] value) {
    return ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN).getInt(0);
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    session.describeTcpConnections();
    var end = session.inventory().tcpEnds().withInode(seen.status().inode()).orElseThrow();
    var file = InternetSocket.capture(id, seen, copy, end.state(), 0, session).toBuilder();
    var entry = file.getIskBuilder();
    entry.setDstPort(end.peer().port()).addAllDstAddr(end.peer().words()).setOpts(settable(entry.getOpts()));
    return file.build();
  }

  /** A connection shows what its ends agreed on under names of what a program may wish for before, or a stream may not set. */
  private static sk_opts_entry settable(sk_opts_entry options) {
    var kept =
        options.getOtherList().stream()
            .filter(other -> other.getLevel() != Sockets.IPPROTO_TCP || other.getName() != TcpRepair.TCP_MAXSEG)
            .filter(other -> other.getLevel() != Sockets.IPPROTO_IP || !MULTICAST.contains(other.getName()))
            .filter(other -> other.getLevel() != Sockets.IPPROTO_IPV6 || !MULTICAST6.contains(other.getName()))
            .toList();
    return options.toBuilder().clearOther().addAllOther(kept).build();
  }

  @Override
  public boolean describes(file_entry file) {
    return InternetSocket.describes(file, Sockets.IPPROTO_TCP) && isConnected(file.getIsk().getState());
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var entry = file.getIsk();
    int slot = recreation.slot(file.getId());
    open("socket()", entry.getFamily(), slot, home);
    if (entry.getFamily() == Sockets.AF_INET6) {
      SocketOptions.set(home, slot, Sockets.IPPROTO_IPV6, SocketOptions.IPV6_V6ONLY, entry.getV6Only() ? 1 : 0);
    }
    SocketOptions.recreate(entry.getOpts(), slot, home);
    var spare = OptionalInt.empty();
    if (recreation.image().getTcpList().stream().anyMatch(tcp -> isLeftOver(tcp, entry))) {
      spare = OptionalInt.of(recreation.freshSlot());
      open("socket(for the other end)", entry.getFamily(), spare.getAsInt(), home);
    }
    recreation.connectLater(file, home, spare);
  }

  /** Whether a spare socket has to say for the other end that it sends no more. */
  private static boolean isLeftOver(tcp_connection_entry tcp, inet_sk_entry socket) {
    boolean outside = tcp.getOtherEnd() == tcp_other_end.TCP_OUTSIDE && TcpState.hasReceivedFin(socket.getState());
    return tcp.getIno() == socket.getIno() && (outside || tcp.getOtherEnd() == tcp_other_end.TCP_CLOSED);
  }

  private static void open(String what, int family, int slot, StubDescriptors home) {
    home.need(3, 0);
    int type = Sockets.SOCK_STREAM | Sockets.SOCK_CLOEXEC;
    home.park(home.call(what, SyscallNumber.SOCKET, family, type, Sockets.IPPROTO_TCP), slot);
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return InternetSocket.lateFlags(file);
  }
}
