package io.gantry.checkpoint.resource;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.inet_sk_entry;
import io.gantry.checkpoint.image.multicast_group_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.NetworkDevice;
import io.gantry.checkpoint.linux.NetworkThread;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/**
 * Multicast groups that a socket has joined. The kernel lists only what a host has joined ({@code /proc/net/igmp}, {@code
 * igmp6}), but
 * asked for the source filter of one of these groups ({@code MCAST_MSFILTER}) it tells whether this socket is a member.
 */
final class Memberships {
  /** {@code linux/in.h}; the levels are IPPROTO_IP and IPPROTO_IPV6. */
  private static final int MCAST_JOIN_GROUP = 42;

  /** {@code struct group_req}: interface index, padding, {@code sockaddr_storage}. */
  private static final int REQUEST_BYTES = 136;

  private static final int ADDRESS_AT = 8;

  /** @param device its name; @param index its number on this host; @param address raw, 4 or 16 bytes */
  private record Group(String device, int index, byte[] address) {}

  private Memberships() {}

  /** The groups of a socket; each is looked for only when the host has joined any. */
  static List<multicast_group_entry> of(int copy, int family) {
    var found = new ArrayList<multicast_group_entry>();
    for (var group : joined(family)) {
      if (Sockets.groupFilter(copy, level(family), request(group.index, group.address)).isPresent()) {
        found.add(
            multicast_group_entry.newBuilder().setDevice(group.device).setAddress(ByteString.copyFrom(group.address)).build());
      }
    }
    return found;
  }

  /** Why they cannot be carried: only groups of which every source is wanted are joined again. */
  static List<String> obstacles(int copy, int family) {
    var found = new ArrayList<String>();
    for (var group : joined(family)) {
      Sockets.groupFilter(copy, level(family), request(group.index, group.address))
          .filter(filter -> !filter.takesAll())
          .ifPresent(
              filter ->
                  found.add(
                      "it has joined a multicast group on " + group.device + " for some sources only, which cannot be carried"));
    }
    return found;
  }

  private static int level(int family) {
    return family == Sockets.AF_INET6 ? Sockets.IPPROTO_IPV6 : Sockets.IPPROTO_IP;
  }

  private static List<Group> joined(int family) {
    var text = Fd.readIfThere("/proc/thread-self/net/" + (family == Sockets.AF_INET6 ? "igmp6" : "igmp"));
    if (text.isEmpty()) {
      return List.of();
    }
    var lines = new String(text.get(), StandardCharsets.ISO_8859_1).split("\n");
    return family == Sockets.AF_INET6 ? joined6(lines) : joined4(lines);
  }

  private static List<Group> joined4(String[] lines) {
    var found = new ArrayList<Group>();
    var device = "";
    int index = 0;
    // "1\tlo        :     1      V3" and below it "\t\t\t\t010000E0     1 0:00000000\t\t0"
    for (int i = 1; i < lines.length; i++) {
      var words = lines[i].strip().split("[\\s:]+");
      if (!lines[i].startsWith("\t")) {
        index = Integer.parseInt(words[0]);
        device = words[1];
      } else {
        int word = Integer.parseUnsignedInt(words[0], 16);
        var address = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(word).array();
        found.add(new Group(device, index, address));
      }
    }
    return found;
  }

  private static List<Group> joined6(String[] lines) {
    var found = new ArrayList<Group>();
    // "1    lo              ff020000000000000000000000000001     1 0000000C 0"
    for (var line : lines) {
      var words = line.strip().split("\\s+");
      if (words.length > 2) {
        found.add(new Group(words[1], Integer.parseInt(words[0]), HexFormat.of().parseHex(words[2])));
      }
    }
    return found;
  }

  private static byte[] request(int index, byte[] address) {
    var request = ByteBuffer.allocate(REQUEST_BYTES).order(ByteOrder.LITTLE_ENDIAN).putInt(0, index);
    int family = address.length == 16 ? Sockets.AF_INET6 : Sockets.AF_INET;
    request.put(ADDRESS_AT, new InternetAddress(family, 0, address, 0).raw());
    return request.array();
  }

  /** Adds the calls that join them again. */
  static void join(inet_sk_entry entry, int slot, StubDescriptors home) {
    for (var group : entry.getGroupList()) {
      var request = request(index(group.getDevice(), home.pid()), group.getAddress().toByteArray());
      home.need(1, REQUEST_BYTES + 16);
      home.call(
          "setsockopt(MCAST_JOIN_GROUP on " + group.getDevice() + ")",
          SyscallNumber.SETSOCKOPT,
          slot,
          level(entry.getFamily()),
          MCAST_JOIN_GROUP,
          home.bytes(request),
          REQUEST_BYTES);
    }
  }

  /** The number of a network device where a stub is. */
  static int index(String device, int pid) {
    return NetworkThread.where(pid, () -> NetworkDevice.index(device))
        .orElseThrow(
            () -> new CheckpointException("a socket of the container uses network device " + device + ", which is not there on this host"));
  }
}
