package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.inet_sk_entry;
import io.gantry.checkpoint.image.socket_option_entry;
import io.gantry.checkpoint.image.tcp_connection_entry;
import io.gantry.checkpoint.image.tcp_other_end;
import io.gantry.checkpoint.image.tcp_stream_entry;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Poll;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.TcpRepair;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntPredicate;

/**
 * Makes TCP connections again. Both ends are there, so each is given the other's numbers and then what was written goes its natural way;
 * a half that was closed is closed again. Connections stay in repair mode, in which they vanish without a packet if the copy is given up,
 * until {@link TcpQuiet#wake}. An end whose other end is outside is given what was on the way as sent, and the rest goes when
 * the other end answers. One that waits to be accepted is made by a real connect, since nothing else puts it into the queue.
 */
final class TcpRevival {
  private static final int TCP_NODELAY = 1;
  private static final int IP_OPTIONS = 4;

  /** A packet may come from an address that is nobody's here ({@code linux/in.h}, {@code linux/in6.h}). */
  private static final int IP_TRANSPARENT = 19;

  private static final int IPV6_TRANSPARENT = 75;
  private static final byte[] ONE = {1, 0, 0, 0};
  private static final int POLLOUT = 4;

  /** {@code TCP_MIN_MSS} and {@code MAX_TCP_WINDOW} ({@code net/tcp.h}): what a program may wish for. */
  private static final int SEGMENT_MIN = 88;

  private static final int SEGMENT_MAX = 32767;

  /** {@code TCP_MSS_DEFAULT}. */
  private static final int SEGMENT_USUAL = 536;
  private static final int CONNECT_MS_MAX = 2000;
  private static final long SETTLE_NS_MAX = 5_000_000_000L;
  private static final long SETTLE_PAUSE_NS = 200_000;

  /** Room for what is put into the queues, whose bookkeeping costs more than the bytes. */
  private static final int ROOM_FACTOR = 4;

  private static final int ROOM_BYTES = 1 << 20;

  /** @param spareSlot where a socket lies that plays the other end for a moment */
  record Wanted(inet_sk_entry socket, StubDescriptors home, int slot, OptionalInt spareSlot) {}

  private final List<End> ends = new ArrayList<>();
  private final List<End> waiting = new ArrayList<>();

  private record End(inet_sk_entry socket, tcp_connection_entry tcp, int fd, OptionalInt spare) implements AutoCloseable {
    InternetAddress local() {
      return InternetAddress.of(socket.getFamily(), socket.getSrcPort(), socket.getSrcAddrList());
    }

    InternetAddress peer() {
      return InternetAddress.of(socket.getFamily(), socket.getDstPort(), socket.getDstAddrList());
    }

    /** Nobody answers before the container is connected to its network again. */
    boolean outside() {
      return tcp.getOtherEnd() == tcp_other_end.TCP_OUTSIDE;
    }

    String text() {
      return "the TCP connection from " + local().text() + " to " + peer().text();
    }

    static boolean isIpOptions(socket_option_entry option) {
      return option.getLevel() == Sockets.IPPROTO_IP && option.getName() == IP_OPTIONS;
    }

    boolean reuses() {
      return socket.getOpts().getReuseaddr();
    }

    /** Numbers before the queues' content and the FINs. */
    int sendStart() {
      return tcp.getStream().getOutqSeq() - tcp.getStream().getOutqLen() - (TcpState.hasWrittenFin(socket.getState()) ? 1 : 0);
    }

    /**
     * Up to where the socket that plays the other end says that it has everything. The real one may lack what was on the way: its
     * FIN must not acknowledge that, or nobody would send it again.
     */
    int heldByOther() {
      return outside() ? sendStart() : sendStart() + tcp.getStream().getOutqLen();
    }

    int receiveEnd() {
      return tcp.getStream().getInqSeq() - (TcpState.hasReceivedFin(socket.getState()) ? 1 : 0);
    }

    @Override
    public void close() {
      Fd.close(fd);
      spare.ifPresent(Fd::close);
    }
  }

  private TcpRevival() {}

  static void run(descriptors_entry image, List<Wanted> wanted) {
    var byInode = new HashMap<Integer, Wanted>();
    wanted.forEach(one -> byInode.put(one.socket.getIno(), one));
    var revival = new TcpRevival();
    try {
      for (var tcp : image.getTcpList()) {
        revival.take(tcp, byInode);
      }
      revival.ends.forEach(TcpRevival::connect);
      revival.ends.forEach(TcpRevival::fill);
      revival.ends.forEach(TcpRevival::push);
      revival.closeHalves();
      revival.waiting.forEach(TcpRevival::connectForReal);
    } finally {
      revival.ends.forEach(End::close);
      revival.waiting.forEach(End::close);
    }
  }

  private void take(tcp_connection_entry tcp, Map<Integer, Wanted> byInode) {
    var one = byInode.get(tcp.getIno());
    if (one == null) {
      throw new CheckpointException("the image is damaged: it has a TCP connection " + tcp.getIno() + " that no process has open");
    }
    var spare = one.spareSlot.isPresent() ? OptionalInt.of(one.home.take(one.spareSlot.getAsInt())) : OptionalInt.empty();
    var end = new End(one.socket, tcp, one.home.take(one.slot), spare);
    (tcp.getOtherEnd() == tcp_other_end.TCP_IN_BACKLOG ? waiting : ends).add(end);
  }

  private static void connect(End end) {
    var stream = end.tcp.getStream();
    TcpRepair.set(end.fd, TcpRepair.TCP_MAXSEG, Math.clamp(segment(stream), SEGMENT_MIN, SEGMENT_MAX));
    connect(end, end.fd, end.local(), end.peer(), end.sendStart(), end.receiveEnd() - stream.getInqLen());
    TcpRepair.set(end.fd, TcpRepair.TCP_MAXSEG, 0);
    TcpRepair.setOptions(end.fd, stream.getOptMask(), stream.getSndWscale(), stream.getRcvWscale(), stream.getMssClamp());
    if (stream.hasTimestamp()) {
      TcpRepair.set(end.fd, TcpRepair.TCP_TIMESTAMP, stream.getTimestamp());
    }
    end.spare.ifPresent(
        spare -> {
          if (end.outside()) {
            Sockets.setOption(spare, Sockets.IPPROTO_IP, IP_TRANSPARENT, ONE);
            Sockets.setOption(spare, Sockets.IPPROTO_IPV6, IPV6_TRANSPARENT, ONE);
          }
          int next = end.heldByOther();
          connect(end, spare, end.peer(), end.local(), end.receiveEnd(), next);
          // Its time stamps would be none of the other end's clock, whose own would then be taken for old (RFC 7323, PAWS).
          // Segments without are taken.
          int options = stream.getOptMask() & ~TcpRepair.HAS_TIMESTAMPS;
          TcpRepair.setOptions(spare, options, stream.getRcvWscale(), stream.getSndWscale(), stream.getMssClamp());
          TcpRepair.setWindow(spare, next, SEGMENT_MAX, SEGMENT_MAX, SEGMENT_MAX, next);
        });
  }

  private static void connect(End end, int fd, InternetAddress from, InternetAddress to, int send, int receive) {
    TcpRepair.set(fd, TcpRepair.ON);
    TcpRepair.setSequences(fd, send, receive);
    require(Sockets.bind(fd, from.raw()), "binding", end);
    require(TcpRepair.connect(fd, to.raw()), "connecting", end);
  }

  private static void require(long result, String what, End end) {
    if (result < 0) {
      throw new CheckpointException(
          what + " " + end.text() + " failed with " + Errno.describe((int) -result)
              + "; both addresses must be this host's own, and no other connection may have them");
    }
  }

  /** A segment is at most half of the largest window that was ever offered, or the window would never be open enough for it. */
  private static int segment(tcp_stream_entry stream) {
    int half = stream.getMaxWindow() > SEGMENT_USUAL ? stream.getMaxWindow() / 2 : stream.getMaxWindow();
    return half == 0 ? stream.getMssClamp() : Math.min(half, stream.getMssClamp());
  }

  /** What was received is put back; what was not is written behind a closed window, so that it does not count as sent. */
  private static void fill(End end) {
    var stream = end.tcp.getStream();
    size(end.fd, SocketOptions.SO_RCVBUFFORCE, ROOM_BYTES + ROOM_FACTOR * stream.getInqLen());
    size(end.fd, SocketOptions.SO_SNDBUFFORCE, ROOM_BYTES + ROOM_FACTOR * stream.getOutqLen());
    TcpRepair.fillReceiveQueue(end.fd, end.tcp.getInq().toByteArray());
    window(end, 0);
    if (end.socket.getOpts().getOtherList().stream().noneMatch(End::isIpOptions)) {
      // Nothing else has the kernel compute the segment size from what was just set (net/ipv4/ip_sockglue.c); not for IPv6.
      Sockets.setOption(end.fd, Sockets.IPPROTO_IP, IP_OPTIONS, new byte[0]);
    }
    byte[] out = end.tcp.getOutq().toByteArray();
    int sent = out.length - stream.getUnsqLen();
    if (end.outside() && sent > 0) {
      // The other end may have it, and then says so: what was never sent it must not acknowledge.
      TcpRepair.fillSendQueue(end.fd, Arrays.copyOf(out, sent));
      out = Arrays.copyOfRange(out, sent, out.length);
    }
    if (out.length > 0) {
      TcpRepair.set(end.fd, TcpRepair.OFF_SILENTLY);
      TcpRepair.send(end.fd, out);
      TcpRepair.set(end.fd, TcpRepair.ON);
    }
    // Before anything is on the way: the size decides which window is offered.
    settle(end);
    // A FIN that has arrived took its place in a window that may be closed since.
    window(end, stream.getOutqLen() == 0 ? Math.max(1, stream.getSndWnd()) : stream.getSndWnd());
  }

  private static void window(End end, int send) {
    tcp_stream_entry stream = end.tcp.getStream();
    int next = end.receiveEnd();
    int early = Math.max(0, stream.getRcvWup() - next);
    int sendFrom = stream.getSndWl1() - next > 0 ? next : stream.getSndWl1();
    TcpRepair.setWindow(
        end.fd, sendFrom, send, Math.max(send, stream.getMaxWindow()), stream.getRcvWnd() + early, stream.getRcvWup() - early);
  }

  private static void push(End end) {
    var stream = end.tcp.getStream();
    if (stream.getOutqLen() > 0 && !stream.getCork() && !end.outside()) {
      // Setting it sends what is there; nothing else would before the next acknowledgement comes.
      TcpRepair.set(end.fd, TCP_NODELAY, 1);
      TcpRepair.set(end.fd, TCP_NODELAY, stream.getNodelay() ? 1 : 0);
    }
  }

  private void closeHalves() {
    ends.forEach(end -> end.spare.ifPresent(spare -> TcpRepair.shutdown(spare, 1)));
    // One in LAST_ACK was the second to close.
    ends.stream().filter(end -> end.socket.getState() != TcpState.LAST_ACK).forEach(TcpRevival::closeHalf);
    ends.stream().filter(end -> TcpState.hasReceivedFin(end.socket.getState())).forEach(TcpRevival::awaitFin);
    ends.stream().filter(end -> end.socket.getState() == TcpState.LAST_ACK).forEach(TcpRevival::closeHalf);
    // An acknowledgement that came when nobody is there any more would be answered by a reset.
    ends.stream()
        .filter(end -> !end.outside())
        .forEach(end -> end.spare.ifPresent(spare -> await(end, spare, state -> state == TcpState.FIN_WAIT2)));
  }

  private static void closeHalf(End end) {
    if (TcpState.hasWrittenFin(end.socket.getState())) {
      TcpRepair.shutdown(end.fd, 1);
    }
    if (end.tcp.getReadingShut()) {
      TcpRepair.shutdown(end.fd, 0);
    }
  }

  private static void awaitFin(End end) {
    await(end, end.fd, state -> TcpState.hasReceivedFin(state) || state == TcpState.CLOSE);
  }

  private static void await(End end, int fd, IntPredicate wanted) {
    long limit = System.nanoTime() + SETTLE_NS_MAX;
    int state = TcpState.of(fd);
    while (!wanted.test(state)) {
      if (System.nanoTime() > limit) {
        throw new CheckpointException(end.text() + " should have been closed by its other end, and is in state " + state
            + " of net/tcp_states.h; does a packet filter of this host drop packets between its own addresses?");
      }
      LockSupport.parkNanos(SETTLE_PAUSE_NS);
      state = TcpState.of(fd);
    }
  }

  /** Sizes and reuse as they were; the kernel doubles the sizes it is given. */
  private static void settle(End end) {
    var options = end.socket.getOpts();
    size(end.fd, SocketOptions.SO_RCVBUFFORCE, options.getSoRcvbuf() / 2);
    size(end.fd, SocketOptions.SO_SNDBUFFORCE, options.getSoSndbuf() / 2);
    size(end.fd, SocketOptions.SO_BUF_LOCK, options.getSoBufLock());
    size(end.fd, SocketOptions.SO_REUSEADDR, end.reuses() ? 1 : 0);
  }

  private static void size(int fd, int name, int value) {
    byte[] raw = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array();
    long result = Sockets.setOption(fd, Sockets.SOL_SOCKET, name, raw);
    if (result < 0) {
      throw new CheckpointException("setting socket option " + name + " of a TCP connection to " + value + " failed with "
          + Errno.describe((int) -result));
    }
  }

  private static void connectForReal(End end) {
    // In repair mode whatever else has the port is in nobody's way.
    TcpRepair.set(end.fd, TcpRepair.ON);
    require(Sockets.bind(end.fd, end.local().raw()), "binding", end);
    TcpRepair.set(end.fd, TcpRepair.OFF_SILENTLY);
    size(end.fd, SocketOptions.SO_REUSEADDR, end.reuses() ? 1 : 0);
    long flags = Fd.fcntl(end.fd, Fd.F_GETFL, 0);
    Fd.fcntl(end.fd, Fd.F_SETFL, flags | Fd.O_NONBLOCK);
    long result = TcpRepair.connect(end.fd, end.peer().raw());
    if (result != -Errno.EINPROGRESS) {
      require(result, "connecting", end);
    } else if ((Poll.await(end.fd, POLLOUT, CONNECT_MS_MAX) & POLLOUT) == 0 || TcpState.of(end.fd) != TcpState.ESTABLISHED) {
      throw new CheckpointException(end.text() + ", which waits to be accepted, could not be made again: nobody answered");
    }
    Fd.fcntl(end.fd, Fd.F_SETFL, flags);
  }
}
