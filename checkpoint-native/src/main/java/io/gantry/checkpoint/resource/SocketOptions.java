package io.gantry.checkpoint.resource;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.image.sk_opts_entry;
import io.gantry.checkpoint.image.socket_option_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Socket options. Those that CRIU has fields for are always recorded; all others only when they differ from those of a new
 * socket of
 * the same kind on the same host, so that what nobody changed follows the destination's defaults. Constants:
 * {@code asm-generic/socket.h}, {@code linux/in.h}, {@code linux/in6.h}, {@code linux/tcp.h}.
 */
final class SocketOptions {
  static final int SO_REUSEADDR = 2;
  private static final int SO_DONTROUTE = 5;
  private static final int SO_BROADCAST = 6;
  private static final int SO_SNDBUF = 7;
  private static final int SO_RCVBUF = 8;
  private static final int SO_KEEPALIVE = 9;
  private static final int SO_OOBINLINE = 10;
  private static final int SO_PRIORITY = 12;
  static final int SO_LINGER = 13;
  static final int SO_REUSEPORT = 15;
  private static final int SO_PASSCRED = 16;
  private static final int SO_RCVLOWAT = 18;
  private static final int SO_RCVTIMEO = 20;
  private static final int SO_SNDTIMEO = 21;
  static final int SO_SNDBUFFORCE = 32;
  static final int SO_RCVBUFFORCE = 33;
  private static final int SO_MARK = 36;
  static final int SO_BUF_LOCK = 72;
  private static final int SNDBUF_LOCK = 1;
  private static final int RCVBUF_LOCK = 2;
  static final int IPV6_V6ONLY = 26;

  /**
   * SO_NO_CHECK, BINDTODEVICE, TIMESTAMP, TIMESTAMPNS, TIMESTAMPING, RXQ_OVFL, PEEK_OFF, SELECT_ERR_QUEUE,
   * BUSY_POLL, MAX_PACING_RATE, ZEROCOPY.
   */
  private static final int[] SOCKET = {11, 25, 29, 35, 37, 40, 42, 45, 46, 47, 60};
  /**
   * IP_TOS, TTL, OPTIONS, PKTINFO, MTU_DISCOVER, RECVERR, RECVTTL, RECVTOS, FREEBIND, TRANSPARENT,
   * RECVORIGDSTADDR, MINTTL, BIND_ADDRESS_NO_PORT, MULTICAST_TTL, MULTICAST_LOOP, MULTICAST_ALL, LOCAL_PORT_RANGE.
   */
  private static final int[] IPV4 = {1, 2, 4, 8, 10, 11, 12, 13, 15, 19, 20, 21, 24, 33, 34, 49, 51};
  /**
   * IPV6_UNICAST_HOPS, MULTICAST_HOPS, MULTICAST_LOOP, MTU_DISCOVER, RECVERR, RECVPKTINFO, RECVHOPLIMIT,
   * RECVTCLASS, TCLASS, MINHOPCOUNT, TRANSPARENT, FREEBIND.
   */
  private static final int[] IPV6 = {16, 18, 19, 23, 25, 49, 51, 66, 67, 73, 75, 78};
  /**
   * TCP_NODELAY, MAXSEG, CORK, KEEPIDLE, KEEPINTVL, KEEPCNT, SYNCNT, LINGER2, DEFER_ACCEPT, WINDOW_CLAMP, CONGESTION,
   * THIN_LINEAR_TIMEOUTS, USER_TIMEOUT, FASTOPEN, NOTSENT_LOWAT, SAVE_SYN, FASTOPEN_CONNECT, FASTOPEN_NO_COOKIE, INQ, RTO_MAX_MS.
   */
  private static final int[] TCP = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 16, 18, 23, 25, 27, 30, 34, 36, 44};

  /** SO_PASSSEC, PASSPIDFD, PASSRIGHTS. */
  private static final int[] UNIX = {34, 76, 83};
  private static final int SO_ATTACH_FILTER = 26;
  private static final int SO_LOCK_FILTER = 44;

  /**
   * NETLINK_PKTINFO, BROADCAST_ERROR, NO_ENOBUFS, LISTEN_ALL_NSID, CAP_ACK, EXT_ACK, GET_STRICT_CHK ({@code linux/netlink.h}).
   */
  private static final int[] NETLINK = {3, 4, 5, 8, 10, 11, 12};

  private static final int SOL_NETLINK = 270;

  private record Option(int level, int name) {}

  /** IP_HDRINCL, ICMP_FILTER at SOL_RAW, IPV6_HDRINCL, IPV6_CHECKSUM at SOL_RAW, ICMP6_FILTER at SOL_ICMPV6. */
  private static final List<Option> RAW =
      List.of(
          new Option(Sockets.IPPROTO_IP, 3),
          new Option(255, 1),
          new Option(Sockets.IPPROTO_IPV6, 36),
          new Option(255, 7),
          new Option(58, 1));

  /** What a new socket has. */
  record Defaults(Map<Option, Optional<MemorySegment>> values) {
    static Defaults measure(int family, int type, int protocol) {
      int fresh = Sockets.create(family, type, protocol);
      try {
        var values = new LinkedHashMap<Option, Optional<MemorySegment>>();
        for (var option : others(family, type, protocol)) {
          values.put(option, Sockets.option(fresh, option.level, option.name).map(MemorySegment::ofArray));
        }
        return new Defaults(values);
      } finally {
        Fd.close(fresh);
      }
    }
  }

  private SocketOptions() {}

  private static List<Option> others(int family, int type, int protocol) {
    var all = new ArrayList<Option>();
    Arrays.stream(SOCKET).forEach(name -> all.add(new Option(Sockets.SOL_SOCKET, name)));
    if (family == Sockets.AF_UNIX) {
      Arrays.stream(UNIX).forEach(name -> all.add(new Option(Sockets.SOL_SOCKET, name)));
    }
    if (family == Sockets.AF_INET || family == Sockets.AF_INET6) {
      Arrays.stream(IPV4).forEach(name -> all.add(new Option(Sockets.IPPROTO_IP, name)));
    }
    if (family == Sockets.AF_INET6) {
      Arrays.stream(IPV6).forEach(name -> all.add(new Option(Sockets.IPPROTO_IPV6, name)));
    }
    if (family == Sockets.AF_NETLINK) {
      Arrays.stream(NETLINK).forEach(name -> all.add(new Option(SOL_NETLINK, name)));
    } else if (type == Sockets.SOCK_RAW && family != Sockets.AF_PACKET) {
      all.addAll(RAW);
    }
    if (protocol == Sockets.IPPROTO_TCP) {
      Arrays.stream(TCP).forEach(name -> all.add(new Option(Sockets.IPPROTO_TCP, name)));
    }
    return all;
  }

  static sk_opts_entry capture(int copy, int family, int type, int protocol, CaptureSession session) {
    var sendTimeout = timeout(copy, SO_SNDTIMEO);
    var receiveTimeout = timeout(copy, SO_RCVTIMEO);
    var entry =
        sk_opts_entry.newBuilder()
            .setSoSndbuf(number(copy, SO_SNDBUF))
            .setSoRcvbuf(number(copy, SO_RCVBUF))
            .setSoSndTmoSec(sendTimeout[0])
            .setSoSndTmoUsec(sendTimeout[1])
            .setSoRcvTmoSec(receiveTimeout[0])
            .setSoRcvTmoUsec(receiveTimeout[1])
            .setReuseaddr(number(copy, SO_REUSEADDR) != 0)
            .setSoPriority(number(copy, SO_PRIORITY))
            .setSoRcvlowat(number(copy, SO_RCVLOWAT))
            .setSoMark(number(copy, SO_MARK))
            .setSoDontroute(number(copy, SO_DONTROUTE) != 0)
            .setSoBroadcast(number(copy, SO_BROADCAST) != 0)
            .setSoKeepalive(number(copy, SO_KEEPALIVE) != 0)
            .setSoOobinline(number(copy, SO_OOBINLINE))
            .setSoBufLock(number(copy, SO_BUF_LOCK));
    if (family == Sockets.AF_UNIX) {
      entry.setSoPasscred(number(copy, SO_PASSCRED) != 0);
    } else if (family == Sockets.AF_INET || family == Sockets.AF_INET6) {
      entry.setSoReuseport(number(copy, SO_REUSEPORT) != 0);
    }
    // struct linger: on, seconds
    var linger = numbers(Sockets.option(copy, Sockets.SOL_SOCKET, SO_LINGER).orElseThrow());
    if (linger.getInt(0) != 0) {
      entry.setSoLinger(linger.getInt(4));
    }
    session.socketDefaults(family, type, protocol).values().forEach((option, usual) -> {
      if (usual.isEmpty() || !Sockets.hasOption(copy, option.level, option.name, usual.get())) {
        Sockets.option(copy, option.level, option.name)
            .ifPresent(
                value ->
                    entry.addOther(
                        socket_option_entry.newBuilder().setLevel(option.level).setName(option.name).setValue(ByteString.copyFrom(value))));
      }
    });
    filter(copy, entry);
    return entry.build();
  }

  private static void filter(int copy, sk_opts_entry.Builder entry) {
    long instructions = Sockets.filterLength(copy);
    if (instructions > 0) {
      var code = numbers(Sockets.filter(copy, (int) instructions));
      while (code.hasRemaining()) {
        entry.addSoFilter(code.getLong());
      }
      entry.setSoLockFilter(number(copy, SO_LOCK_FILTER) != 0);
    }
  }

  private static int number(int copy, int name) {
    return Sockets.intOption(copy, Sockets.SOL_SOCKET, name);
  }

  private static long[] timeout(int copy, int name) {
    // struct timeval
    var value = numbers(Sockets.option(copy, Sockets.SOL_SOCKET, name).orElseThrow());
    return new long[] {value.getLong(0), value.getLong(8)};
  }

  private static ByteBuffer numbers(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** Adds the calls that set everything but {@code SO_REUSEADDR}, which depends on when the socket is bound. */
  static void recreate(sk_opts_entry options, int slot, StubDescriptors home) {
    if ((options.getSoBufLock() & SNDBUF_LOCK) != 0) {
      setBuffer(home, slot, SO_SNDBUF, SO_SNDBUFFORCE, options.getSoSndbuf());
    }
    if ((options.getSoBufLock() & RCVBUF_LOCK) != 0) {
      setBuffer(home, slot, SO_RCVBUF, SO_RCVBUFFORCE, options.getSoRcvbuf());
    }
    setTimeout(home, slot, SO_SNDTIMEO, options.getSoSndTmoSec(), options.getSoSndTmoUsec());
    setTimeout(home, slot, SO_RCVTIMEO, options.getSoRcvTmoSec(), options.getSoRcvTmoUsec());
    setUnless(1, home, slot, SO_RCVLOWAT, options.hasSoRcvlowat() ? options.getSoRcvlowat() : 1);
    setUnless(0, home, slot, SO_MARK, options.getSoMark());
    setUnless(0, home, slot, SO_PASSCRED, options.getSoPasscred() ? 1 : 0);
    setUnless(0, home, slot, SO_DONTROUTE, options.getSoDontroute() ? 1 : 0);
    setUnless(0, home, slot, SO_REUSEPORT, options.getSoReuseport() ? 1 : 0);
    setUnless(0, home, slot, SO_BROADCAST, options.getSoBroadcast() ? 1 : 0);
    setUnless(0, home, slot, SO_KEEPALIVE, options.getSoKeepalive() ? 1 : 0);
    setUnless(0, home, slot, SO_OOBINLINE, options.getSoOobinline());
    if (options.hasSoLinger()) {
      var linger = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putInt(1).putInt(options.getSoLinger()).array();
      set(home, slot, Sockets.SOL_SOCKET, SO_LINGER, linger);
    }
    for (var other : options.getOtherList()) {
      set(home, slot, other.getLevel(), other.getName(), other.getValue().toByteArray());
    }
    // After the type of service, which sets it.
    setUnless(0, home, slot, SO_PRIORITY, options.getSoPriority());
    if (options.getSoPriority() == 0 && options.getOtherCount() > 0) {
      set(home, slot, SO_PRIORITY, 0);
    }
    if (options.getSoFilterCount() > 0) {
      attach(options, slot, home);
    }
  }

  /**
   * Beyond the host's maximum only who has rights in the network namespace may go; in a user namespace with the host's network nobody
   * has, and there the program could not either.
   */
  private static void setBuffer(StubDescriptors home, int slot, int name, int force, int bytes) {
    // The kernel doubles what it is given.
    byte[] value = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(bytes / 2).array();
    set(home, slot, name, bytes / 2);
    home.need(1, value.length + 16);
    var what = "setsockopt(option " + force + ")";
    home.attempt(what, SyscallNumber.SETSOCKOPT, slot, Sockets.SOL_SOCKET, force, home.bytes(value), value.length);
  }

  private static void attach(sk_opts_entry options, int slot, StubDescriptors home) {
    var code = ByteBuffer.allocate(8 * options.getSoFilterCount()).order(ByteOrder.LITTLE_ENDIAN);
    options.getSoFilterList().forEach(code::putLong);
    home.need(2, code.capacity() + 64);
    // struct sock_fprog: instructions (2 bytes, 6 unused), address
    var program = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN);
    program.putLong(options.getSoFilterCount()).putLong(home.bytes(code.array()));
    long at = home.bytes(program.array());
    home.call("setsockopt(SO_ATTACH_FILTER)", SyscallNumber.SETSOCKOPT, slot, Sockets.SOL_SOCKET, SO_ATTACH_FILTER, at, 16);
    if (options.getSoLockFilter()) {
      set(home, slot, SO_LOCK_FILTER, 1);
    }
  }

  private static void setTimeout(StubDescriptors home, int slot, int name, long seconds, long microseconds) {
    if (seconds != 0 || microseconds != 0) {
      var value = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(seconds).putLong(microseconds).array();
      set(home, slot, Sockets.SOL_SOCKET, name, value);
    }
  }

  private static void setUnless(int standard, StubDescriptors home, int slot, int name, int value) {
    if (value != standard) {
      set(home, slot, name, value);
    }
  }

  /** Adds the call that sets an {@code int} at the socket level. */
  static void set(StubDescriptors home, int slot, int name, int value) {
    set(home, slot, Sockets.SOL_SOCKET, name, value);
  }

  static void set(StubDescriptors home, int slot, int level, int name, int value) {
    set(home, slot, level, name, ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array());
  }

  private static void set(StubDescriptors home, int slot, int level, int name, byte[] value) {
    home.need(1, value.length + 16);
    home.call(
        "setsockopt(level " + level + ", option " + name + ")",
        SyscallNumber.SETSOCKOPT,
        slot,
        level,
        name,
        home.bytes(value),
        value.length);
  }
}
