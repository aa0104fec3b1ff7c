package io.gantry.checkpoint.linux;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Tells whether anything was changed in a network namespace: devices, addresses, routes, rules, or packet filters ({@code man 7
 * rtnetlink}, {@code linux/rtnetlink.h},
 * {@code linux/netfilter/nfnetlink.h}). It is made by a thread in that namespace; any thread may ask, one at a time.
 */
public final class NetworkWatch implements AutoCloseable {
  private static final int NETLINK_ROUTE = 0;
  private static final int NETLINK_NETFILTER = 12;

  /**
   * {@code RTMGRP_}: LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE; RTNLGRP_IPV6_RULE, IPV4_NETCONF,
   * IPV6_NETCONF as bits.
   */
  private static final int ROUTE_GROUPS = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18 | 1 << 23 | 1 << 24;

  /** {@code NFNLGRP_NFTABLES}. */
  private static final int FILTER_GROUPS = 1 << 6;

  private static final int MSG_DONTWAIT = 0x40;
  private static final int ROOM_BYTES = 16 * 1024;

  private final int routes;
  private final int filters;

  private NetworkWatch(int routes, int filters) {
    this.routes = routes;
    this.filters = filters;
  }

  /** Watches the calling thread's network namespace from now on. */
  public static NetworkWatch begin() {
    return new NetworkWatch(listen(NETLINK_ROUTE, ROUTE_GROUPS), listen(NETLINK_NETFILTER, FILTER_GROUPS));
  }

  private static int listen(int protocol, int groups) {
    int socket = Sockets.create(Sockets.AF_NETLINK, Sockets.SOCK_RAW, protocol);
    // struct sockaddr_nl: family, pad, port, groups
    var address = ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN).putShort((short) Sockets.AF_NETLINK).putInt(8, groups);
    long result = Sockets.bind(socket, address.array());
    if (result < 0) {
      Fd.close(socket);
      throw new KernelException("listening to changes of a network namespace", (int) -result);
    }
    return socket;
  }

  /** Whether anything was changed since this was asked last, or since the beginning. */
  public boolean hasChanged() {
    return drain(routes) | drain(filters);
  }

  /** Too many at a time are an error, ENOBUFS, which is a change too. */
  private static boolean drain(int socket) {
    boolean any = false;
    var at = Scratch.get();
    for (;;) {
      long result = Libc.syscall(SyscallNumber.RECVFROM, socket, at.address(), ROOM_BYTES, MSG_DONTWAIT, 0, 0);
      if (result == -Errno.EAGAIN) {
        return any;
      }
      any = true;
    }
  }

  @Override
  public void close() {
    Fd.close(routes);
    Fd.close(filters);
  }
}
