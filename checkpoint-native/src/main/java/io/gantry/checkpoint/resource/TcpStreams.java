package io.gantry.checkpoint.resource;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.tcp_connection_entry;
import io.gantry.checkpoint.image.tcp_other_end;
import io.gantry.checkpoint.image.tcp_stream_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.TcpRepair;
import io.gantry.checkpoint.resource.TcpEnds.End;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;

/**
 * Describes the TCP connections of a container that stands still. Its kernel does not: what one end has sent may reach the other while
 * they are read, so both ends are compared, and read again until they fit together.
 */
final class TcpStreams {
  /** What was on the way between two sockets of one host arrives within a softirq. */
  private static final int TRIES = 100;

  private static final long PAUSE_NS = 500_000;

  /** Offset of {@code tcpi_last_data_recv} in {@code struct tcp_info}: milliseconds since data came, or the connection was made. */
  private static final int LAST_DATA_AT = 52;

  private record Waiting(tcp_connection_entry entry, long madeAtMs) {}

  private TcpStreams() {}

  /** All connections; those that wait to be accepted come last, in the order in which they were made. */
  static List<tcp_connection_entry> read(Inventory inventory) {
    var ends = inventory.tcpEnds();
    var streams = new ArrayList<End>();
    var kinds = new HashMap<Long, TcpEnds.Other>();
    var waiting = new ArrayList<Waiting>();
    for (var end : ends.connected()) {
      var other = ends.otherEnd(end);
      if (other.obstacle().isPresent()) {
        continue;
      }
      kinds.put(end.inode(), other);
      if (other.kind() == tcp_other_end.TCP_IN_BACKLOG) {
        waiting.add(waiting(end, inventory));
      } else {
        streams.add(end);
      }
    }
    var found = new ArrayList<tcp_connection_entry>();
    if (!streams.isEmpty()) {
      var read = readConsistently(streams, kinds, inventory);
      streams.forEach(end -> found.add(describe(end, kinds.get(end.inode()), read)));
    }
    waiting.sort(Comparator.comparingLong(Waiting::madeAtMs));
    waiting.forEach(one -> found.add(one.entry));
    return found;
  }

  private static Waiting waiting(End end, Inventory inventory) {
    int copy = inventory.take(end.seen());
    try {
      // Each is asked at another moment.
      long nowMs = System.nanoTime() / 1_000_000;
      var info = Sockets.option(copy, Sockets.IPPROTO_TCP, TcpRepair.TCP_INFO).orElseThrow();
      int age = ByteBuffer.wrap(info).order(ByteOrder.LITTLE_ENDIAN).getInt(LAST_DATA_AT);
      var entry =
          tcp_connection_entry.newBuilder().setIno((int) end.inode()).setOtherEnd(tcp_other_end.TCP_IN_BACKLOG).setReadingShut(false);
      return new Waiting(entry.build(), nowMs - age);
    } finally {
      Fd.close(copy);
    }
  }

  private static Map<Long, TcpReading> readConsistently(List<End> ends, Map<Long, TcpEnds.Other> others, Inventory inventory) {
    var copies = new HashMap<Long, Integer>();
    try {
      ends.forEach(end -> copies.put(end.inode(), inventory.take(end.seen())));
      for (int i = 0; i < TRIES; i++) {
        var read = TcpReading.of(copies);
        if (ends.stream().allMatch(end -> fits(end, others.get(end.inode()), read))) {
          return read;
        }
        LockSupport.parkNanos(PAUSE_NS);
      }
    } finally {
      copies.values().forEach(Fd::close);
    }
    throw new CheckpointException(
        "the two ends of a TCP connection of the container do not come to rest while it stands still; try again");
  }

  /** What an end holds acknowledged has arrived at the other, and nothing has arrived that was not written. */
  private static boolean fits(End end, TcpEnds.Other other, Map<Long, TcpReading> read) {
    var own = read.get(end.inode());
    if (own.state() != end.state()) {
      throw new CheckpointException(
          end.seen().where() + " is a TCP connection that changed its state while the container was being captured; try again");
    }
    if (other.partner().isEmpty()) {
      return true;
    }
    int arrived = read.get(other.partner().get().inode()).receiveSequence();
    return arrived - own.acknowledged() >= 0 && own.sendSequence() - arrived >= 0;
  }

  private static tcp_connection_entry describe(End end, TcpEnds.Other other, Map<Long, TcpReading> read) {
    var own = read.get(end.inode());
    boolean finWritten = TcpState.hasWrittenFin(own.state());
    int missing = own.sendSequence() - own.acknowledged();
    boolean finMissing = finWritten && missing > 0;
    int sendWindow = own.window(1);
    if (other.partner().isPresent()) {
      // What has arrived needs no acknowledgement any more, and what has not is as good as never sent.
      var partner = read.get(other.partner().get().inode());
      missing = own.sendSequence() - partner.receiveSequence();
      finMissing = finWritten && !TcpState.hasReceivedFin(partner.state());
      sendWindow = Math.max(0, sendWindow - (partner.receiveSequence() - own.acknowledged()));
    }
    // A FIN that waits behind the data counts as a byte.
    int unsent = other.kind() == tcp_other_end.TCP_OUTSIDE ? own.unsent() - (finMissing && own.unsent() > 0 ? 1 : 0) : Integer.MAX_VALUE;
    int length = missing - (finMissing ? 1 : 0);
    if (length < 0 || length > own.sendQueue().length) {
      throw new CheckpointException(
          end.seen().where() + " is a TCP connection with " + length + " bytes to send, and its queue holds " + own.sendQueue().length);
    }
    byte[] out = Arrays.copyOfRange(own.sendQueue(), own.sendQueue().length - length, own.sendQueue().length);
    var stream =
        tcp_stream_entry.newBuilder()
            .setInqLen(own.receiveQueue().length)
            .setInqSeq(own.receiveSequence())
            .setOutqLen(length)
            .setOutqSeq(own.sendSequence())
            .setUnsqLen(Math.min(length, unsent))
            .setOptMask(own.options())
            .setSndWscale(own.sendScale())
            .setRcvWscale(own.receiveScale())
            .setMssClamp(own.segmentSize())
            .setCork(own.cork())
            .setNodelay(own.noDelay())
            .setSndWl1(own.window(0))
            .setSndWnd(sendWindow)
            .setMaxWindow(own.window(2))
            .setRcvWnd(own.window(3))
            .setRcvWup(own.window(4));
    if (own.hasTimestamps()) {
      stream.setTimestamp(own.timestamp());
    }
    return tcp_connection_entry.newBuilder()
        .setIno((int) end.inode())
        .setOtherEnd(other.kind())
        .setStream(stream)
        .setInq(ByteString.copyFrom(own.receiveQueue()))
        .setOutq(ByteString.copyFrom(out))
        .setReadingShut(own.readingShut())
        .build();
  }
}
