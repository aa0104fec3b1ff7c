package io.gantry.checkpoint.resource;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.image.sk_opts_entry;
import io.gantry.checkpoint.image.socket_option_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

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
  private static final int SO_LINGER = 13;
  static final int SO_REUSEPORT = 15;
  private static final int SO_PASSCRED = 16;
  private static final int SO_RCVLOWAT = 18;
  private static final int SO_RCVTIMEO = 20;
  private static final int SO_SNDTIMEO = 21;
  private static final int SO_SNDBUFFORCE = 32;
  private static final int SO_RCVBUFFORCE = 33;
  private static final int SO_MARK = 36;
  private static final int SO_BUF_LOCK = 72;
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
   * TCP_NODELAY, CORK, KEEPIDLE, KEEPINTVL, KEEPCNT, SYNCNT, LINGER2, DEFER_ACCEPT, WINDOW_CLAMP, CONGESTION,
   * USER_TIMEOUT, FASTOPEN, NOTSENT_LOWAT, FASTOPEN_CONNECT, FASTOPEN_NO_COOKIE.
   */
  private static final int[] TCP = {1, 3, 4, 5, 6, 7, 8, 9, 10, 13, 18, 23, 25, 30, 34};

  private record Option(int level, int name) {}

  /** What a new socket has. */
  record Defaults(Map<Option, ByteString> values) {
    static Defaults measure(int family, int type, int protocol) {
      int fresh = Sockets.create(family, type, protocol);
      try {
        var values = new HashMap<Option, ByteString>();
        for (var option : others(family, protocol)) {
          Sockets.option(fresh, option.level, option.name).ifPresent(value -> values.put(option, ByteString.copyFrom(value)));
        }
        return new Defaults(values);
      } finally {
        Fd.close(fresh);
      }
    }
  }

  private SocketOptions() {}

  private static List<Option> others(int family, int protocol) {
    var all = new ArrayList<Option>();
    Arrays.stream(SOCKET).forEach(name -> all.add(new Option(Sockets.SOL_SOCKET, name)));
    if (family != Sockets.AF_UNIX) {
      Arrays.stream(IPV4).forEach(name -> all.add(new Option(Sockets.IPPROTO_IP, name)));
    }
    if (family == Sockets.AF_INET6) {
      Arrays.stream(IPV6).forEach(name -> all.add(new Option(Sockets.IPPROTO_IPV6, name)));
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
    } else {
      entry.setSoReuseport(number(copy, SO_REUSEPORT) != 0);
    }
    // struct linger: on, seconds
    var linger = numbers(Sockets.option(copy, Sockets.SOL_SOCKET, SO_LINGER).orElseThrow());
    if (linger.getInt(0) != 0) {
      entry.setSoLinger(linger.getInt(4));
    }
    var defaults = session.socketDefaults(family, type, protocol).values();
    for (var option : others(family, protocol)) {
      Sockets.option(copy, option.level, option.name)
          .map(ByteString::copyFrom)
          .filter(value -> !value.equals(defaults.get(option)))
          .ifPresent(
              value ->
                  entry.addOther(
                      socket_option_entry.newBuilder().setLevel(option.level).setName(option.name).setValue(value)));
    }
    return entry.build();
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
      // The kernel doubles what it is given.
      set(home, slot, SO_SNDBUFFORCE, options.getSoSndbuf() / 2);
    }
    if ((options.getSoBufLock() & RCVBUF_LOCK) != 0) {
      set(home, slot, SO_RCVBUFFORCE, options.getSoRcvbuf() / 2);
    }
    setTimeout(home, slot, SO_SNDTIMEO, options.getSoSndTmoSec(), options.getSoSndTmoUsec());
    setTimeout(home, slot, SO_RCVTIMEO, options.getSoRcvTmoSec(), options.getSoRcvTmoUsec());
    setUnless(0, home, slot, SO_PRIORITY, options.getSoPriority());
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
