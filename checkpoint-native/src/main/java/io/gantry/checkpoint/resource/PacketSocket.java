package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.packet_sock_entry;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.net.NetworkInterface;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A packet socket ({@code man 7 packet}) with protocol, device, options and filter. Packets that wait in it are lost, and so are
 * memberships that it has added ({@code PACKET_ADD_MEMBERSHIP}), which the kernel does not tell.
 */
final class PacketSocket implements FileKind {
  /** {@code linux/if_packet.h}. */
  private static final int SOL_PACKET = 263;

  private static final int PACKET_COPY_THRESH = 7;
  private static final int PACKET_AUXDATA = 8;
  private static final int PACKET_ORIGDEV = 9;
  private static final int PACKET_VERSION = 10;
  private static final int PACKET_RESERVE = 12;
  private static final int PACKET_LOSS = 14;
  private static final int PACKET_VNET_HDR = 15;
  private static final int PACKET_TIMESTAMP = 17;
  private static final int PACKET_FANOUT = 18;

  /** {@code struct sockaddr_ll}: family 2, protocol 2, device 4, and what only packets have. */
  private static final int ADDRESS_BYTES = 20;

  private static final int PROTOCOL_AT = 2;
  private static final int DEVICE_AT = 4;

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "packet socket";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isSocket() && Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN) == Sockets.AF_PACKET;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    var found = new ArrayList<String>();
    if (Sockets.hasForeignFilter(copy)) {
      found.add("it has an eBPF filter (SO_ATTACH_BPF), which cannot be read back");
    }
    // The room before each packet cannot be set, not even to what it is, while there is a ring (net/packet/af_packet.c).
    var reserve = Sockets.option(copy, SOL_PACKET, PACKET_RESERVE).orElseThrow();
    if (Sockets.setOption(copy, SOL_PACKET, PACKET_RESERVE, reserve) == -Errno.EBUSY) {
      found.add("it has a ring of packets (PACKET_RX_RING or PACKET_TX_RING), which cannot be carried");
    }
    if (option(copy, PACKET_FANOUT) != 0) {
      found.add("it belongs to a group of packet sockets (PACKET_FANOUT), which cannot be carried");
    }
    return found;
  }

  private static int option(int copy, int name) {
    return Sockets.intOption(copy, SOL_PACKET, name);
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    int type = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_TYPE);
    var address = ByteBuffer.wrap(Sockets.localAddress(copy)).order(ByteOrder.LITTLE_ENDIAN);
    int device = address.getInt(DEVICE_AT);
    var entry =
        packet_sock_entry.newBuilder()
            .setId(id)
            .setType(type)
            // As it lies in the address, in network order.
            .setProtocol(Short.toUnsignedInt(address.getShort(PROTOCOL_AT)))
            .setFlags(seen.info().statusFlags())
            .setIfindex(device)
            .setFown(session.owner(copy))
            .setOpts(SocketOptions.capture(copy, Sockets.AF_PACKET, type, 0, session))
            .setVersion(option(copy, PACKET_VERSION))
            .setReserve(option(copy, PACKET_RESERVE))
            .setAuxData(option(copy, PACKET_AUXDATA) != 0)
            .setOrigDev(option(copy, PACKET_ORIGDEV) != 0)
            .setVnetHdr(option(copy, PACKET_VNET_HDR) != 0)
            .setLoss(option(copy, PACKET_LOSS) != 0)
            .setTimestamp(option(copy, PACKET_TIMESTAMP))
            // Write-only.
            .setCopyThresh(0);
    deviceName(device).ifPresent(entry::setIfname);
    return file_entry.newBuilder().setType(fd_types.PACKETSK).setId(id).setPsk(entry).build();
  }

  private static Optional<String> deviceName(int index) {
    try {
      return index <= 0
          ? Optional.empty()
          : Optional.ofNullable(NetworkInterface.getByIndex(index)).map(NetworkInterface::getName);
    } catch (SocketException e) {
      return Optional.empty();
    }
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.PACKETSK;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var entry = file.getPsk();
    int slot = recreation.slot(file.getId());
    home.need(3, 0);
    // Without a protocol it receives nothing until it is complete.
    home.park(home.call("socket()", SyscallNumber.SOCKET, Sockets.AF_PACKET, entry.getType(), 0), slot);
    SocketOptions.recreate(entry.getOpts(), slot, home);
    setUnlessZero(home, slot, PACKET_VERSION, entry.getVersion());
    setUnlessZero(home, slot, PACKET_RESERVE, entry.getReserve());
    setUnlessZero(home, slot, PACKET_AUXDATA, entry.getAuxData() ? 1 : 0);
    setUnlessZero(home, slot, PACKET_ORIGDEV, entry.getOrigDev() ? 1 : 0);
    setUnlessZero(home, slot, PACKET_VNET_HDR, entry.getVnetHdr() ? 1 : 0);
    setUnlessZero(home, slot, PACKET_LOSS, entry.getLoss() ? 1 : 0);
    setUnlessZero(home, slot, PACKET_TIMESTAMP, entry.getTimestamp());
    setUnlessZero(home, slot, PACKET_COPY_THRESH, entry.getCopyThresh());
    if (entry.getProtocol() != 0 || entry.getIfindex() != 0) {
      int device = entry.hasIfname() ? Memberships.index(entry.getIfname(), home.pid()) : entry.getIfindex();
      var raw = ByteBuffer.allocate(ADDRESS_BYTES).order(ByteOrder.LITTLE_ENDIAN);
      raw.putShort((short) Sockets.AF_PACKET).putShort((short) entry.getProtocol()).putInt(device);
      home.need(1, ADDRESS_BYTES + 16);
      home.call("bind(packets of " + entry.getIfname() + ")", SyscallNumber.BIND, slot, home.bytes(raw.array()), ADDRESS_BYTES);
    }
  }

  private static void setUnlessZero(StubDescriptors home, int slot, int name, int value) {
    if (value != 0) {
      SocketOptions.set(home, slot, SOL_PACKET, name, value);
    }
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getPsk().getFlags() & ~Fd.O_RDWR;
  }
}
