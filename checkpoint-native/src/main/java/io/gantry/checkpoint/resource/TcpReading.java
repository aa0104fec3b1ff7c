package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Poll;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.TcpRepair;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.Errand;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What repair mode tells about one TCP connection. It is entered and left again by an {@link Errand}, because a socket that was left in it
 * by an agent that is killed could be used no more by its program.
 *
 * @param state as {@code net/tcp_states.h} numbers them
 * @param info {@code struct tcp_info}
 * @param sendSequence behind what was written, with its FIN
 * @param unacknowledged how much of that was not acknowledged
 * @param unsent how much of that was never on the way
 * @param receiveSequence behind what has come, with its FIN
 * @param windows {@code struct tcp_repair_window}
 * @param sendQueue at least the bytes that were not acknowledged, at its end
 * @param readingShut {@code shutdown(SHUT_RD)} was called
 */
record TcpReading(
    int state,
    byte[] info,
    int sendSequence,
    int unacknowledged,
    int unsent,
    int receiveSequence,
    int segmentSize,
    int timestamp,
    byte[] windows,
    byte[] sendQueue,
    byte[] receiveQueue,
    boolean noDelay,
    boolean cork,
    boolean readingShut) {
  private static final int TCP_NODELAY = 1;
  private static final int TCP_CORK = 3;
  private static final int POLLRDHUP = 0x2000;

  /** Offsets in {@code struct tcp_info}, and how much of it is wanted. */
  private static final int OPTIONS_AT = 5;

  private static final int SCALES_AT = 6;
  private static final int INFO_BYTES = 64;
  private static final int TIMESTAMPS = 1;

  /** A segment that is acknowledged in part stays whole in the queue; and what has come since the size was asked. */
  private static final int SLACK_BYTES = 512 * 1024;

  private static final int CALLS_EACH = 25;
  private static final int DATA_EACH = 29 * 32 + INFO_BYTES;
  private static final int SOCKETS_MAX = 256;

  /** Reads connections; each through one of our descriptors, by whatever key. */
  static <K> Map<K, TcpReading> of(Map<K, Integer> copies) {
    var result = new HashMap<K, TcpReading>();
    var all = new ArrayList<>(copies.entrySet());
    for (int from = 0; from < all.size(); from += SOCKETS_MAX) {
      var some = all.subList(from, Math.min(all.size(), from + SOCKETS_MAX));
      var copiesOfSome = some.stream().map(Map.Entry::getValue).toList();
      var read = readAll(copiesOfSome);
      for (int i = 0; i < some.size(); i++) {
        result.put(some.get(i).getKey(), read.get(i));
      }
    }
    return result;
  }

  private static List<TcpReading> readAll(List<Integer> copies) {
    long room = 0;
    var questions = new ArrayList<Question>();
    for (int copy : copies) {
      var question = new Question(copy);
      questions.add(question);
      room += question.sendRoom + question.receiveRoom + 64L;
    }
    try (var errand = new Errand(copies.size() * CALLS_EACH, copies.size() * DATA_EACH, room)) {
      // First all are silenced, then all are read, so that what one says fits to what the other says.
      questions.forEach(question -> question.enter(errand));
      questions.forEach(question -> question.ask(errand));
      questions.forEach(question -> question.leave(errand));
      errand.run();
      return questions.stream().map(question -> question.answer(errand)).toList();
    }
  }

  private static final class Question {
    private final int copy;
    private final int sendRoom;
    private final int receiveRoom;
    private final boolean reuse;
    private long unsentAt;
    private CallBatch.Call fetched;
    private CallBatch.Call entered;
    private CallBatch.Call left;
    private CallBatch.Call sendQueue;
    private CallBatch.Call receiveQueue;
    private long sendQueueAt;
    private long receiveQueueAt;
    private long sendSequenceAt;
    private long unacknowledgedAt;
    private long receiveSequenceAt;
    private long segmentSizeAt;
    private long timestampAt;
    private long windowAt;
    private long infoAt;

    Question(int copy) {
      this.copy = copy;
      int unacknowledged = TcpRepair.queued(copy, TcpRepair.SIOCOUTQ);
      int unread = TcpRepair.queued(copy, TcpRepair.SIOCINQ);
      this.sendRoom = unacknowledged == 0 ? 16 : unacknowledged + SLACK_BYTES;
      this.receiveRoom = unread + SLACK_BYTES;
      this.reuse = Sockets.intOption(copy, Sockets.SOL_SOCKET, SocketOptions.SO_REUSEADDR) != 0;
    }

    void enter(Errand errand) {
      fetched = errand.fetch(copy);
      entered = set(errand, Sockets.IPPROTO_TCP, TcpRepair.TCP_REPAIR, TcpRepair.ON);
    }

    void ask(Errand errand) {
      var calls = errand.calls();
      set(errand, Sockets.IPPROTO_TCP, TcpRepair.TCP_REPAIR_QUEUE, TcpRepair.SEND_QUEUE);
      sendSequenceAt = get(errand, TcpRepair.TCP_QUEUE_SEQ, 4);
      unacknowledgedAt = calls.reserve(4);
      calls.attempt("ioctl(SIOCOUTQ)", SyscallNumber.IOCTL, 0, TcpRepair.SIOCOUTQ, unacknowledgedAt).link(0, fetched);
      unsentAt = calls.reserve(4);
      calls.attempt("ioctl(SIOCOUTQNSD)", SyscallNumber.IOCTL, 0, TcpRepair.SIOCOUTQNSD, unsentAt).link(0, fetched);
      sendQueueAt = errand.room(sendRoom);
      sendQueue = peek(errand, sendQueueAt, sendRoom);
      set(errand, Sockets.IPPROTO_TCP, TcpRepair.TCP_REPAIR_QUEUE, TcpRepair.RECEIVE_QUEUE);
      receiveSequenceAt = get(errand, TcpRepair.TCP_QUEUE_SEQ, 4);
      receiveQueueAt = errand.room(receiveRoom);
      receiveQueue = peek(errand, receiveQueueAt, receiveRoom);
      set(errand, Sockets.IPPROTO_TCP, TcpRepair.TCP_REPAIR_QUEUE, TcpRepair.NO_QUEUE);
      segmentSizeAt = get(errand, TcpRepair.TCP_MAXSEG, 4);
      timestampAt = get(errand, TcpRepair.TCP_TIMESTAMP, 4);
      windowAt = get(errand, TcpRepair.TCP_REPAIR_WINDOW, TcpRepair.WINDOW_BYTES);
      infoAt = get(errand, TcpRepair.TCP_INFO, INFO_BYTES);
    }

    void leave(Errand errand) {
      left = set(errand, Sockets.IPPROTO_TCP, TcpRepair.TCP_REPAIR, TcpRepair.OFF_SILENTLY);
      // Leaving it takes this option away (net/ipv4/tcp.c, do_tcp_setsockopt).
      set(errand, Sockets.SOL_SOCKET, SocketOptions.SO_REUSEADDR, reuse ? 1 : 0);
    }

    private CallBatch.Call set(Errand errand, int level, int name, int value) {
      long at = errand.calls().bytes(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array());
      return errand.calls().attempt("setsockopt(" + name + ")", SyscallNumber.SETSOCKOPT, 0, level, name, at, 4).link(0, fetched);
    }

    private long get(Errand errand, int name, int bytes) {
      var calls = errand.calls();
      long at = calls.reserve(bytes);
      long length = calls.bytes(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(bytes).array());
      calls.attempt("getsockopt(" + name + ")", SyscallNumber.GETSOCKOPT, 0, Sockets.IPPROTO_TCP, name, at, length).link(0, fetched);
      return at;
    }

    private CallBatch.Call peek(Errand errand, long at, int room) {
      long flags = TcpRepair.MSG_PEEK | TcpRepair.MSG_DONTWAIT;
      return errand.calls().attempt("recv(MSG_PEEK)", SyscallNumber.RECVFROM, 0, at, room, flags, 0, 0).link(0, fetched);
    }

    TcpReading answer(Errand errand) {
      require(fetched.result(), "taking it");
      require(entered.result(), "entering repair mode, which needs CAP_NET_ADMIN in its network namespace");
      require(left.result(), "leaving repair mode");
      byte[] info = errand.calls().read(infoAt, INFO_BYTES);
      return new TcpReading(
          info[0],
          info,
          number(errand, sendSequenceAt),
          number(errand, unacknowledgedAt),
          number(errand, unsentAt),
          number(errand, receiveSequenceAt),
          number(errand, segmentSizeAt),
          number(errand, timestampAt),
          errand.calls().read(windowAt, TcpRepair.WINDOW_BYTES),
          content(errand, sendQueue.result(), sendQueueAt),
          content(errand, receiveQueue.result(), receiveQueueAt),
          Sockets.intOption(copy, Sockets.IPPROTO_TCP, TCP_NODELAY) != 0,
          Sockets.intOption(copy, Sockets.IPPROTO_TCP, TCP_CORK) != 0,
          (Poll.await(copy, POLLRDHUP, 0) & POLLRDHUP) != 0 && !TcpState.hasReceivedFin(info[0]));
    }

    private static int number(Errand errand, long at) {
      return ByteBuffer.wrap(errand.calls().read(at, 4)).order(ByteOrder.LITTLE_ENDIAN).getInt();
    }

    /** Nothing is said to be there by 0 behind a FIN, and by EAGAIN otherwise. */
    private static byte[] content(Errand errand, long result, long at) {
      if (result == -Errno.EAGAIN) {
        return new byte[0];
      }
      require(result, "looking into its queue");
      return errand.read(at, (int) result);
    }

    private static void require(long result, String what) {
      if (result < 0) {
        throw new CheckpointException("capturing a TCP connection: " + what + " failed with " + Errno.describe((int) -result));
      }
    }
  }

  /** The number up to which the other end has acknowledged. */
  int acknowledged() {
    return sendSequence - unacknowledged;
  }

  /** A field of {@code struct tcp_repair_window}: snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup. */
  int window(int field) {
    return ByteBuffer.wrap(windows).order(ByteOrder.LITTLE_ENDIAN).getInt(4 * field);
  }

  /** {@code tcpi_options}. */
  int options() {
    return info[OPTIONS_AT];
  }

  boolean hasTimestamps() {
    return (options() & TIMESTAMPS) != 0;
  }

  int sendScale() {
    return info[SCALES_AT] & 0xf;
  }

  int receiveScale() {
    return info[SCALES_AT] >> 4 & 0xf;
  }
}
