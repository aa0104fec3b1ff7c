package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.inet_sk_entry;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * A socket for datagrams, connected or not: UDP, UDP-Lite and the {@code ping} kind of ICMP. Datagrams that wait in it are
 * lost, as UDP
 * allows.
 */
final class UdpSocket implements FileKind {
  /** {@code linux/in.h}, {@code linux/in6.h}. */
  private static final int IPPROTO_ICMP = 1;

  private static final int IPPROTO_ICMPV6 = 58;
  private static final int IPPROTO_UDPLITE = 136;
  private static final Set<Integer> PROTOCOLS = Set.of(Sockets.IPPROTO_UDP, IPPROTO_UDPLITE, IPPROTO_ICMP, IPPROTO_ICMPV6);

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return switch (Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_PROTOCOL)) {
      case Sockets.IPPROTO_UDP -> "UDP socket";
      case IPPROTO_UDPLITE -> "UDP-Lite socket";
      default -> "ICMP socket";
    };
  }

  @Override
  public String how() {
    return "is made again with its options and address";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isSocket()
        && Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_TYPE) == Sockets.SOCK_DGRAM
        && PROTOCOLS.stream().anyMatch(protocol -> InternetSocket.is(seen, copy, Sockets.SOCK_DGRAM, protocol));
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return withoutConnection(copy);
  }

  /** What speaks against a socket that has no connection to anybody, only perhaps an address that it sends to. */
  static List<String> withoutConnection(int copy) {
    var found = new ArrayList<>(InternetSocket.obstacles(copy));
    Sockets.peerAddress(copy)
        .map(InternetAddress::parse)
        .filter(peer -> peer.scope() != 0)
        .ifPresent(
            peer -> found.add("it is connected to " + peer.text() + ", a link-local address of one interface of this host"));
    found.addAll(Memberships.obstacles(copy, Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN)));
    return found;
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    return describe(id, seen, copy, session);
  }

  static file_entry describe(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var file = InternetSocket.capture(id, seen, copy, InternetSocket.CLOSE, 0, session).toBuilder();
    var entry = file.getIskBuilder();
    Sockets.peerAddress(copy)
        .map(InternetAddress::parse)
        .ifPresent(peer -> entry.setState(InternetSocket.ESTABLISHED).setDstPort(peer.port()).addAllDstAddr(peer.words()));
    entry.addAllGroup(Memberships.of(copy, entry.getFamily()));
    return file.build();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.INETSK
        && file.getIsk().getType() == Sockets.SOCK_DGRAM
        && PROTOCOLS.contains(file.getIsk().getProto());
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    remake(file.getIsk(), home, recreation);
  }

  static void remake(inet_sk_entry entry, StubDescriptors home, Recreation recreation) {
    int slot = InternetSocket.recreate(entry, home, recreation);
    if (entry.getState() == InternetSocket.ESTABLISHED) {
      var peer = InternetAddress.of(entry.getFamily(), entry.getDstPort(), entry.getDstAddrList());
      var raw = peer.raw();
      home.need(1, raw.length + 16);
      home.call("connect(" + peer.text() + ")", SyscallNumber.CONNECT, slot, home.bytes(raw), raw.length);
    }
    Memberships.join(entry, slot, home);
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return InternetSocket.lateFlags(file);
  }
}
