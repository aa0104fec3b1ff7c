package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import java.util.function.LongConsumer;

/**
 * What the kernel's socket monitoring tells about one TCP connection of this thread's network namespace, whether or not a descriptor
 * leads to it ({@code man 7 sock_diag}, {@code linux/inet_diag.h}).
 *
 * @param state as {@code net/tcp_states.h} numbers them
 * @param inode 0 when no descriptor leads to it
 * @param receiveQueue bytes that were not read
 * @param sendQueue bytes that were not acknowledged
 */
public record TcpDiag(int state, long inode, long receiveQueue, long sendQueue) {
  private static final int NETLINK_SOCK_DIAG = 4;
  private static final int SOCK_DIAG_BY_FAMILY = 20;
  private static final int NLMSG_ERROR = 2;
  private static final int NLM_F_REQUEST = 1;
  private static final int ALL_STATES = -1;
  /** {@code net/tcp_states.h}; requests are told as SYN_RECV and asked for as NEW_SYN_RECV ({@code net/ipv4/inet_diag.c}). */
  private static final int SYN_RECV = 3;

  private static final int LISTEN = 10;
  private static final int NEW_SYN_RECV = 12;

  private static final int HEADER_BYTES = 16;

  /** {@code struct inet_diag_req_v2}: family, protocol, ext, pad, states, then {@code struct inet_diag_sockid} of 48 bytes. */
  private static final int REQUEST_BYTES = HEADER_BYTES + 8 + 48;

  private static final int ID_AT = HEADER_BYTES + 8;

  private static final int RETRANSMISSIONS_AT = HEADER_BYTES + 3;

  /** {@code struct inet_diag_msg}: family, state, timer, retrans, sockid, expires, rqueue, wqueue, uid, inode. */
  private static final int RECEIVE_QUEUE_AT = HEADER_BYTES + 4 + 48 + 4;

  private static final int SEND_QUEUE_AT = RECEIVE_QUEUE_AT + 4;
  private static final int INODE_AT = SEND_QUEUE_AT + 8;
  private static final int ANSWER_BYTES_MAX = 8192;

  /** Opens a connection to the monitoring of this thread's network namespace; close it with {@link Fd#close}. */
  public static int open() {
    return Sockets.create(Sockets.AF_NETLINK, Sockets.SOCK_RAW, NETLINK_SOCK_DIAG);
  }

  /**
   * Tells the inode of each socket of the network namespace that listens and at which connections wait to be accepted.
   *
   * @param family AF_INET or AF_INET6
   */
  public static void waiting(int monitor, int family, LongConsumer listener) {
    var at = Scratch.get();
    request(at, SocketDump.REQUEST_FLAGS, family, 1 << LISTEN);
    send(monitor, at);
    SocketDump.read(monitor, "listening TCP sockets", (memory, begin, end) -> {
      // Of one that listens it is the number of those that wait (net/ipv4/tcp_diag.c, tcp_diag_get_info).
      if (memory.get(ValueLayout.JAVA_INT, begin + RECEIVE_QUEUE_AT) != 0) {
        listener.accept(Integer.toUnsignedLong(memory.get(ValueLayout.JAVA_INT, begin + INODE_AT)));
      }
    });
  }

  /**
   * Whether there is a connection whose first packet was answered just now and whose client has not confirmed that. One whose
   * answer had to be sent again is
   * not counted: that client is slow, or gone, or never was.
   *
   * @param family AF_INET or AF_INET6
   */
  public static boolean anyHalfMade(int monitor, int family) {
    var at = Scratch.get();
    request(at, SocketDump.REQUEST_FLAGS, family, 1 << SYN_RECV | 1 << NEW_SYN_RECV);
    send(monitor, at);
    boolean[] found = {false};
    SocketDump.read(
        monitor,
        "half-made TCP connections",
        (memory, begin, end) -> found[0] |= memory.get(ValueLayout.JAVA_BYTE, begin + RETRANSMISSIONS_AT) == 0);
    return found[0];
  }

  private static void request(MemorySegment at, int flags, int family, int states) {
    at.asSlice(0, REQUEST_BYTES).fill((byte) 0);
    at.set(ValueLayout.JAVA_INT, 0, REQUEST_BYTES);
    at.set(ValueLayout.JAVA_SHORT, 4, (short) SOCK_DIAG_BY_FAMILY);
    at.set(ValueLayout.JAVA_SHORT, 6, (short) flags);
    at.set(ValueLayout.JAVA_BYTE, HEADER_BYTES, (byte) family);
    at.set(ValueLayout.JAVA_BYTE, HEADER_BYTES + 1, (byte) Sockets.IPPROTO_TCP);
    at.set(ValueLayout.JAVA_INT, HEADER_BYTES + 4, states);
  }

  private static void send(int monitor, MemorySegment at) {
    Libc.check(
        Libc.syscall(SyscallNumber.SENDTO, monitor, at.address(), REQUEST_BYTES, 0, 0, 0), () -> "sendto(socket monitoring)");
  }

  /**
   * The socket with exactly these two addresses; empty when there is none.
   *
   * @param family AF_INET or AF_INET6; IPv4 addresses in IPv6's clothes are asked for as AF_INET
   * @param local 4 or 16 bytes, network order
   */
  public static Optional<TcpDiag> query(int monitor, int family, byte[] local, int localPort, byte[] peer, int peerPort) {
    var at = Scratch.get();
    request(at, NLM_F_REQUEST, family, ALL_STATES);
    // Ports in network order, addresses of 16 bytes each, interface, cookie (all ones: any).
    at.set(ValueLayout.JAVA_SHORT_UNALIGNED, ID_AT, Short.reverseBytes((short) localPort));
    at.set(ValueLayout.JAVA_SHORT_UNALIGNED, ID_AT + 2, Short.reverseBytes((short) peerPort));
    at.asSlice(ID_AT + 4, local.length).copyFrom(MemorySegment.ofArray(local));
    at.asSlice(ID_AT + 20, peer.length).copyFrom(MemorySegment.ofArray(peer));
    at.set(ValueLayout.JAVA_INT, ID_AT + 40, -1);
    at.set(ValueLayout.JAVA_INT, ID_AT + 44, -1);
    send(monitor, at);
    Libc.check(
        Libc.syscall(SyscallNumber.RECVFROM, monitor, at.address(), ANSWER_BYTES_MAX, 0, 0, 0), () -> "recvfrom(socket monitoring)");
    if (at.get(ValueLayout.JAVA_SHORT, 4) == NLMSG_ERROR) {
      int errno = -at.get(ValueLayout.JAVA_INT, HEADER_BYTES);
      if (errno == Errno.ENOENT) {
        return Optional.empty();
      }
      throw new KernelException("asking for a TCP connection", errno);
    }
    // Where no connection has these addresses, the one that listens is found.
    boolean exact = at.get(ValueLayout.JAVA_SHORT_UNALIGNED, HEADER_BYTES + 4 + 2) == Short.reverseBytes((short) peerPort);
    return exact
        ? Optional.of(
            new TcpDiag(
                at.get(ValueLayout.JAVA_BYTE, HEADER_BYTES + 1),
                Integer.toUnsignedLong(at.get(ValueLayout.JAVA_INT, INODE_AT)),
                Integer.toUnsignedLong(at.get(ValueLayout.JAVA_INT, RECEIVE_QUEUE_AT)),
                Integer.toUnsignedLong(at.get(ValueLayout.JAVA_INT, SEND_QUEUE_AT))))
        : Optional.empty();
  }
}
