package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/** A TCP socket that listens, or that was never connected; {@link TcpConnection} is for the others. */
final class TcpSocket implements FileKind {
  /** {@code linux/tcp.h}; offsets of {@code struct tcp_info} there. */
  private static final int TCP_INFO = 11;

  private static final int STATE = 0;
  /** For a listener: connections that wait to be accepted, and how many may. */
  private static final int UNACKED = 24;

  private static final int SACKED = 28;
  private static final int SEGMENTS_OUT = 136;
  private static final int SEGMENTS_IN = 140;

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return switch (info(copy).get(STATE)) {
      case InternetSocket.LISTEN -> "listening TCP socket";
      default -> wasConnected(info(copy)) ? "TCP connection" : "TCP socket";
    };
  }

  @Override
  public String how() {
    return "is made again with its options, bound and listening as it was";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return InternetSocket.is(seen, copy, Sockets.SOCK_STREAM, Sockets.IPPROTO_TCP);
  }

  private static ByteBuffer info(int copy) {
    return ByteBuffer.wrap(Sockets.option(copy, Sockets.IPPROTO_TCP, TCP_INFO).orElseThrow()).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static boolean wasConnected(ByteBuffer info) {
    return info.getInt(SEGMENTS_OUT) != 0 || info.getInt(SEGMENTS_IN) != 0;
  }

  static boolean isListening(int copy) {
    return info(copy).get(STATE) == InternetSocket.LISTEN;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    var found = new ArrayList<>(InternetSocket.obstacles(copy));
    var info = info(copy);
    var local = InternetAddress.parse(Sockets.localAddress(copy)).text();
    switch (info.get(STATE)) {
      case InternetSocket.LISTEN -> {
        int waiting = info.getInt(UNACKED);
        if (waiting != 0 && inventory.tcpEnds().waitingAt(seen.status().inode()) != waiting) {
          found.add(
              "%d connections to %s wait to be accepted, and only those from the container's own processes that have sent nothing can be carried"
                  .formatted(waiting, local));
        }
      }
      case InternetSocket.CLOSE -> {
        if (wasConnected(info)) {
          found.add("it was connected from " + local + " and is not closed yet");
        }
      }
      default -> found.add("it is in state " + info.get(STATE) + " of net/tcp_states.h, which cannot be carried");
    }
    return found;
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var info = info(copy);
    int backlog = info.get(STATE) == InternetSocket.LISTEN ? info.getInt(SACKED) : 0;
    return InternetSocket.capture(id, seen, copy, info.get(STATE), backlog, session);
  }

  @Override
  public boolean describes(file_entry file) {
    return InternetSocket.describes(file, Sockets.IPPROTO_TCP);
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var entry = file.getIsk();
    int slot = InternetSocket.recreate(entry, home, recreation);
    if (entry.getState() == InternetSocket.LISTEN) {
      home.need(1, 0);
      home.call("listen(port " + entry.getSrcPort() + ")", SyscallNumber.LISTEN, slot, entry.getBacklog());
    }
    InternetSocket.settle(entry, slot, home);
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return InternetSocket.lateFlags(file);
  }
}
