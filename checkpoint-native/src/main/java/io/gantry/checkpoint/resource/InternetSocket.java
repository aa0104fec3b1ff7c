package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.inet_sk_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.util.ArrayList;
import java.util.List;

/** What sockets of the Internet protocols have in common. */
final class InternetSocket {
  /** States as {@code net/tcp_states.h} numbers them. */
  static final int ESTABLISHED = 1;
  static final int CLOSE = 7;

  static final int LISTEN = 10;

  private InternetSocket() {}

  static boolean is(SeenDescriptor seen, int copy, int type, int protocol) {
    if (!seen.isSocket()) {
      return false;
    }
    int family = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN);
    return (family == Sockets.AF_INET || family == Sockets.AF_INET6)
        && Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_TYPE) == type
        && Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_PROTOCOL) == protocol;
  }

  static List<String> obstacles(int copy) {
    var found = new ArrayList<String>();
    if (Sockets.hasForeignFilter(copy)) {
      found.add("it has an eBPF filter (SO_ATTACH_BPF), which cannot be read back");
    }
    if (InternetAddress.parse(Sockets.localAddress(copy)).scope() != 0) {
      found.add("it is bound to the link-local address of one interface of this host");
    }
    return found;
  }

  static boolean isV6Only(int copy, InternetAddress local) {
    return local.family() == Sockets.AF_INET6
        && Sockets.intOption(copy, Sockets.IPPROTO_IPV6, SocketOptions.IPV6_V6ONLY) != 0;
  }

  static file_entry capture(int id, SeenDescriptor seen, int copy, int state, int backlog, CaptureSession session) {
    int type = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_TYPE);
    int protocol = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_PROTOCOL);
    var local = InternetAddress.parse(Sockets.localAddress(copy));
    return file_entry.newBuilder()
        .setType(fd_types.INETSK)
        .setId(id)
        .setIsk(
            inet_sk_entry.newBuilder()
                .setId(id)
                .setIno((int) seen.status().inode())
                .setFamily(local.family())
                .setType(type)
                .setProto(protocol)
                .setState(state)
                .setSrcPort(local.port())
                .setDstPort(0)
                .setFlags(seen.info().statusFlags())
                .setBacklog(backlog)
                .addAllSrcAddr(local.words())
                .setFown(session.owner(copy))
                .setOpts(SocketOptions.capture(copy, local.family(), type, protocol, session))
                .setV6Only(isV6Only(copy, local)))
        .build();
  }

  /** Adds the calls for socket, options and address; returns the slot. */
  static int recreate(inet_sk_entry entry, StubDescriptors home, Recreation recreation) {
    int slot = recreation.slot(entry.getId());
    home.need(3, 0);
    home.park(
        home.call(
            "socket()", SyscallNumber.SOCKET, entry.getFamily(), entry.getType() | Sockets.SOCK_CLOEXEC, entry.getProto()),
        slot);
    if (entry.getFamily() == Sockets.AF_INET6) {
      SocketOptions.set(home, slot, Sockets.IPPROTO_IPV6, SocketOptions.IPV6_V6ONLY, entry.getV6Only() ? 1 : 0);
    }
    SocketOptions.recreate(entry.getOpts(), slot, home);
    var local = InternetAddress.of(entry.getFamily(), entry.getSrcPort(), entry.getSrcAddrList());
    // A TCP port may still wait for the end of old connections here; only another listener must be in the way.
    boolean reuse = entry.getProto() == Sockets.IPPROTO_TCP || entry.getOpts().getReuseaddr();
    if (reuse) {
      SocketOptions.set(home, slot, SocketOptions.SO_REUSEADDR, 1);
    }
    if (local.isBound()) {
      var raw = local.raw();
      home.need(1, raw.length + 16);
      home.call("bind(" + local.text() + ")", SyscallNumber.BIND, slot, home.bytes(raw), raw.length);
    }
    return slot;
  }

  /** Adds the call that undoes what {@link #recreate} needed and the program did not ask for. */
  static void settle(inet_sk_entry entry, int slot, StubDescriptors home) {
    if (entry.getProto() == Sockets.IPPROTO_TCP && !entry.getOpts().getReuseaddr()) {
      SocketOptions.set(home, slot, SocketOptions.SO_REUSEADDR, 0);
    }
  }

  static boolean describes(file_entry file, int protocol) {
    return file.getType() == fd_types.INETSK && file.getIsk().getProto() == protocol;
  }

  static int lateFlags(file_entry file) {
    return file.getIsk().getFlags() & ~Fd.O_RDWR;
  }
}
