package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;

/**
 * A TCP socket's repair mode ({@code net/ipv4/tcp.c}, {@code linux/tcp.h}): a connection is made without a packet, its queues and
 * numbers are set, and a socket that is closed in it vanishes without a packet. Needs {@code CAP_NET_ADMIN} in the socket's network namespace.
 * In this mode the kernel lets nobody read, so a socket that a program may use must not be left in it. Any thread.
 */
public final class TcpRepair {
  public static final int TCP_MAXSEG = 2;
  public static final int TCP_INFO = 11;
  public static final int TCP_REPAIR = 19;
  public static final int TCP_REPAIR_QUEUE = 20;
  public static final int TCP_QUEUE_SEQ = 21;
  public static final int TCP_REPAIR_OPTIONS = 22;
  public static final int TCP_TIMESTAMP = 24;
  public static final int TCP_REPAIR_WINDOW = 29;

  /** Values of {@link #TCP_REPAIR}: leave and ask the other end how far it is; enter; leave and send nothing. */
  public static final int OFF = 0;

  public static final int ON = 1;
  public static final int OFF_SILENTLY = -1;

  /** Values of {@link #TCP_REPAIR_QUEUE}. */
  public static final int NO_QUEUE = 0;

  public static final int RECEIVE_QUEUE = 1;
  public static final int SEND_QUEUE = 2;

  /** {@code struct tcp_repair_window}: snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup. */
  public static final int WINDOW_BYTES = 20;

  /** {@code FIONREAD}, {@code TIOCOUTQ} and {@code SIOCOUTQNSD} ({@code linux/sockios.h}): bytes not read, not acknowledged, not sent. */
  public static final int SIOCINQ = 0x541b;

  public static final int SIOCOUTQ = 0x5411;
  public static final int SIOCOUTQNSD = 0x894b;

  public static final int MSG_OOB = 1;
  public static final int MSG_PEEK = 2;
  public static final int MSG_DONTWAIT = 0x40;

  /** {@code TCPOPT_MSS}, {@code WINDOW}, {@code SACK_PERM} and {@code TIMESTAMP} ({@code net/tcp.h}). */
  private static final int OPTION_MSS = 2;

  private static final int OPTION_WINDOW = 3;
  private static final int OPTION_SACK = 4;
  private static final int OPTION_TIMESTAMP = 8;

  /** {@code TCPI_OPT_} bits of {@code tcpi_options}. */
  public static final int HAS_TIMESTAMPS = 1;

  private static final int HAS_SACK = 2;
  private static final int HAS_WSCALE = 4;

  private static final int MSG_NOSIGNAL = 0x4000;
  private static final int CHUNK_BYTES = 32 * 1024;
  private static final int SOCKADDR_AT = 64;

  private TcpRepair() {}

  /** Whether the socket is in repair mode; empty when it is no TCP socket. */
  public static Optional<Boolean> isOn(int fd) {
    return Sockets.option(fd, Sockets.IPPROTO_TCP, TCP_REPAIR)
        .map(value -> ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN).getInt(0) != 0);
  }

  /** @param mode {@link #ON}, {@link #OFF} or {@link #OFF_SILENTLY}; on and off both set {@code SO_REUSEADDR} as they like */
  public static void set(int fd, int mode) {
    set(fd, TCP_REPAIR, mode);
  }

  /** Sets one of the {@code int} options of TCP. */
  public static void set(int fd, int name, int value) {
    set(fd, name, number(value));
  }

  private static void set(int fd, int name, byte[] value) {
    Libc.check(
        Sockets.setOption(fd, Sockets.IPPROTO_TCP, name, value),
        () -> "setsockopt(descriptor " + fd + ", TCP option " + name + ", " + value.length + " bytes)");
  }

  /** Of a socket in repair mode that is not connected: the next number to be sent, and the next one to be received. */
  public static void setSequences(int fd, int send, int receive) {
    set(fd, TCP_REPAIR_QUEUE, SEND_QUEUE);
    set(fd, TCP_QUEUE_SEQ, send);
    set(fd, TCP_REPAIR_QUEUE, RECEIVE_QUEUE);
    set(fd, TCP_QUEUE_SEQ, receive);
    set(fd, TCP_REPAIR_QUEUE, NO_QUEUE);
  }

  /**
   * What the two ends agreed on when they connected.
   *
   * @param options bits of {@code tcpi_options}
   */
  public static void setOptions(int fd, int options, int sendScale, int receiveScale, int mss) {
    var list = ByteBuffer.allocate(32).order(ByteOrder.LITTLE_ENDIAN);
    list.putInt(OPTION_MSS).putInt(mss);
    if ((options & HAS_WSCALE) != 0) {
      list.putInt(OPTION_WINDOW).putInt(sendScale | receiveScale << 16);
    }
    if ((options & HAS_SACK) != 0) {
      list.putInt(OPTION_SACK).putInt(0);
    }
    if ((options & HAS_TIMESTAMPS) != 0) {
      list.putInt(OPTION_TIMESTAMP).putInt(0);
    }
    set(fd, TCP_REPAIR_OPTIONS, java.util.Arrays.copyOf(list.array(), list.position()));
  }

  public static void setWindow(int fd, int sendFrom, int send, int sendMax, int receive, int receiveFrom) {
    var window = ByteBuffer.allocate(WINDOW_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    window.putInt(sendFrom).putInt(send).putInt(sendMax).putInt(receive).putInt(receiveFrom);
    set(fd, TCP_REPAIR_WINDOW, window.array());
  }

  /** Puts bytes into the receive queue of a connection in repair mode. */
  public static void fillReceiveQueue(int fd, byte[] bytes) {
    set(fd, TCP_REPAIR_QUEUE, RECEIVE_QUEUE);
    send(fd, bytes);
    set(fd, TCP_REPAIR_QUEUE, NO_QUEUE);
  }

  /** Puts bytes into the send queue of a connection in repair mode as if they had been sent. */
  public static void fillSendQueue(int fd, byte[] bytes) {
    set(fd, TCP_REPAIR_QUEUE, SEND_QUEUE);
    send(fd, bytes);
    set(fd, TCP_REPAIR_QUEUE, NO_QUEUE);
  }

  /** Sends all bytes; the socket must have room for them. */
  public static void send(int fd, byte[] bytes) {
    var at = Scratch.get();
    for (int from = 0; from < bytes.length; ) {
      int length = Math.min(CHUNK_BYTES, bytes.length - from);
      at.asSlice(0, length).copyFrom(MemorySegment.ofArray(bytes).asSlice(from, length));
      int sent = from;
      from +=
          (int)
              Libc.check(
                  Libc.syscall(SyscallNumber.SENDTO, fd, at.address(), length, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0),
                  () -> "send(TCP socket, after " + sent + " of " + bytes.length + " bytes)");
    }
  }

  /** {@code connect(2)} to a raw {@code sockaddr}; 0 or minus the error number. */
  public static long connect(int fd, byte[] address) {
    var at = Scratch.get().asSlice(SOCKADDR_AT);
    at.asSlice(0, address.length).copyFrom(MemorySegment.ofArray(address));
    return Libc.syscall(SyscallNumber.CONNECT, fd, at.address(), address.length);
  }

  /** {@code shutdown(2)}. @param how 0 reading, 1 writing */
  public static void shutdown(int fd, int how) {
    Libc.check(Libc.syscall(SyscallNumber.SHUTDOWN, fd, how, 0), () -> "shutdown(TCP socket, " + how + ")");
  }

  /** @param request {@link #SIOCINQ}, {@link #SIOCOUTQ} or {@link #SIOCOUTQNSD} */
  public static int queued(int fd, int request) {
    var at = Scratch.get();
    at.set(ValueLayout.JAVA_INT, 0, 0);
    Libc.check(Libc.syscall(SyscallNumber.IOCTL, fd, request, at.address()), () -> "ioctl(TCP socket, queue length " + request + ")");
    return at.get(ValueLayout.JAVA_INT, 0);
  }

  private static byte[] number(int value) {
    return ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array();
  }
}
