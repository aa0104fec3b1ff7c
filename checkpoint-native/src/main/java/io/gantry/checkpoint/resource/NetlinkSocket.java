package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.netlink_sk_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Poll;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * A netlink socket ({@code man 7 netlink}) with its port, groups and options. Nothing may wait in it: what the kernel has
 * answered, or
 * is still going to answer in further parts, cannot be asked for again. What is announced to its groups while it moves is missed.
 */
final class NetlinkSocket implements FileKind {
  /** {@code linux/netlink.h}. */
  private static final int SOL_NETLINK = 270;

  private static final int NETLINK_ADD_MEMBERSHIP = 1;
  private static final int NETLINK_LIST_MEMBERSHIPS = 9;
  /** {@code struct sockaddr_nl}: family 2, padding 2, port 4, groups 4. */
  private static final int ADDRESS_BYTES = 12;

  private static final int PORT_AT = 4;
  private static final int GROUPS_AT = 8;
  private static final int CONNECTED = 1;

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "netlink socket";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isSocket() && Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN) == Sockets.AF_NETLINK;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    if (Sockets.hasForeignFilter(copy)) {
      return List.of("it has an eBPF filter (SO_ATTACH_BPF), which cannot be read back");
    }
    return (Poll.await(copy, Poll.IN, 0) & (Poll.IN | Poll.ERR)) == 0
        ? List.of()
        : List.of("messages of the kernel wait in it, and cannot be asked for again; the program has to read them first");
  }

  private static ByteBuffer numbers(byte[] raw) {
    return ByteBuffer.wrap(raw).order(ByteOrder.LITTLE_ENDIAN);
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    int type = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_TYPE);
    int protocol = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_PROTOCOL);
    var peer = numbers(Sockets.peerAddress(copy).orElse(new byte[ADDRESS_BYTES]));
    boolean connected = peer.getInt(PORT_AT) != 0 || peer.getInt(GROUPS_AT) != 0;
    var entry =
        netlink_sk_entry.newBuilder()
            .setId(id)
            .setIno((int) seen.status().inode())
            .setProtocol(protocol)
            .setState(connected ? CONNECTED : 0)
            .setFlags(seen.info().statusFlags())
            .setPortid(numbers(Sockets.localAddress(copy)).getInt(PORT_AT))
            .setDstPortid(peer.getInt(PORT_AT))
            .setDstGroup(peer.getInt(GROUPS_AT))
            .setFown(session.owner(copy))
            .setOpts(SocketOptions.capture(copy, Sockets.AF_NETLINK, type, protocol, session))
            .setType(type);
    Sockets.option(copy, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS)
        .map(NetlinkSocket::numbers)
        .ifPresent(
            groups -> {
              while (groups.remaining() >= Integer.BYTES) {
                entry.addGroups(groups.getInt());
              }
            });
    return file_entry.newBuilder().setType(fd_types.NETLINKSK).setId(id).setNlsk(entry).build();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.NETLINKSK;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var entry = file.getNlsk();
    int slot = recreation.slot(file.getId());
    int type = entry.hasType() ? entry.getType() : Sockets.SOCK_RAW;
    home.need(3, 0);
    home.park(home.call("socket()", SyscallNumber.SOCKET, Sockets.AF_NETLINK, type, entry.getProtocol()), slot);
    SocketOptions.recreate(entry.getOpts(), slot, home);
    if (entry.getPortid() != 0) {
      address("bind(netlink port " + entry.getPortid() + ")", SyscallNumber.BIND, slot, entry.getPortid(), 0, home);
    }
    for (int word = 0; word < entry.getGroupsCount(); word++) {
      for (int bit = 0; bit < Integer.SIZE; bit++) {
        if ((entry.getGroups(word) >>> bit & 1) != 0) {
          SocketOptions.set(home, slot, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, word * Integer.SIZE + bit + 1);
        }
      }
    }
    if (entry.getState() == CONNECTED) {
      address("connect(netlink)", SyscallNumber.CONNECT, slot, entry.getDstPortid(), entry.getDstGroup(), home);
    }
  }

  private static void address(String what, int call, int slot, int port, int groups, StubDescriptors home) {
    var raw = ByteBuffer.allocate(ADDRESS_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    raw.putShort((short) Sockets.AF_NETLINK).putInt(PORT_AT, port).putInt(GROUPS_AT, groups);
    home.need(1, ADDRESS_BYTES + 16);
    home.call(what, call, slot, home.bytes(raw.array()), ADDRESS_BYTES);
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getNlsk().getFlags() & ~Fd.O_RDWR;
  }
}
