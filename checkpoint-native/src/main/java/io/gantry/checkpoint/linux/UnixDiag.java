package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What the kernel's socket monitoring tells about one Unix socket ({@code man 7 sock_diag}, {@code linux/unix_diag.h}).
 *
 * @param type one of the {@code SOCK_…} values
 * @param state TCP's numbers: 1 connected, 7 neither connected nor listening, 10 listening
 * @param name as {@code bind(2)} was given it, without a final zero byte; an abstract one begins with a zero byte; empty when
 * it has none
 * @param connected whether it has or had another end
 * @param peerInode inode of the other end; 0 when that is closed
 * @param receiveQueue bytes (stream) or messages that wait to be received, or connections that wait to be accepted
 * @param backlog of a listener: how many connections may wait
 * @param pending of a listener: inodes of those that wait to be accepted, in order; 0 for one that was closed meanwhile
 * @param shutdown bit 0: reading is shut down, bit 1: writing is shut down
 */
public record UnixDiag(
    int type,
    int state,
    byte[] name,
    boolean connected,
    long peerInode,
    long receiveQueue,
    int backlog,
    List<Long> pending,
    int shutdown) {
  public static final int ESTABLISHED = 1;
  public static final int CLOSE = 7;
  public static final int LISTEN = 10;

  private static final int NETLINK_SOCK_DIAG = 4;
  private static final int SOCK_DIAG_BY_FAMILY = 20;
  private static final int NLMSG_ERROR = 2;
  private static final int NLM_F_REQUEST = 1;
  private static final int ALL_STATES = -1;
  private static final int SHOW_NAME = 1;
  private static final int SHOW_PEER = 4;
  private static final int SHOW_ICONS = 8;
  private static final int SHOW_RQLEN = 16;
  private static final int ATTRIBUTE_NAME = 0;
  private static final int ATTRIBUTE_PEER = 2;
  private static final int ATTRIBUTE_ICONS = 3;
  private static final int ATTRIBUTE_RQLEN = 4;
  private static final int ATTRIBUTE_SHUTDOWN = 6;
  private static final int HEADER_BYTES = 16;
  private static final int REQUEST_BYTES = HEADER_BYTES + 24;
  private static final int MESSAGE_BYTES = HEADER_BYTES + 16;

  /** In {@code struct unix_diag_msg}, behind family, type, state and padding. */
  private static final int INODE_AT = HEADER_BYTES + 4;

  /** Opens a connection to the monitoring of this thread's network namespace; close it with {@link Fd#close}. */
  public static int open() {
    return Sockets.create(Sockets.AF_NETLINK, Sockets.SOCK_RAW, NETLINK_SOCK_DIAG);
  }

  /** @throws KernelException {@code ENOENT} when the network namespace has no Unix socket with that inode */
  public static UnixDiag query(int monitor, long inode) {
    ask(monitor, NLM_F_REQUEST, ALL_STATES, inode, SHOW_NAME | SHOW_PEER | SHOW_ICONS | SHOW_RQLEN);
    var at = Scratch.get();
    long length =
        Libc.check(
            Libc.syscall(SyscallNumber.RECVFROM, monitor, at.address(), at.byteSize(), 0, 0, 0),
            () -> "recvfrom(socket monitoring)");
    if (at.get(ValueLayout.JAVA_SHORT, 4) == NLMSG_ERROR) {
      throw new KernelException("asking for the Unix socket with inode " + inode, -at.get(ValueLayout.JAVA_INT, HEADER_BYTES));
    }
    return parse(at, 0, length);
  }

  /** Takes one listener at which connections wait. */
  public interface Waiting {
    /** @param listener its inode; @param clients as {@link #pending} */
    void at(long listener, List<Long> clients);
  }

  /** Tells all connections of the network namespace that wait to be accepted. */
  public static void waiting(int monitor, Waiting waiting) {
    ask(monitor, SocketDump.REQUEST_FLAGS, 1 << LISTEN, 0, SHOW_ICONS);
    SocketDump.read(monitor, "listening Unix sockets", (memory, begin, end) -> {
      var clients = parse(memory, begin, end).pending();
      if (!clients.isEmpty()) {
        waiting.at(Integer.toUnsignedLong(memory.get(ValueLayout.JAVA_INT, begin + INODE_AT)), clients);
      }
    });
  }

  private static void ask(int monitor, int flags, int states, long inode, int show) {
    var at = Scratch.get();
    at.asSlice(0, REQUEST_BYTES).fill((byte) 0);
    at.set(ValueLayout.JAVA_INT, 0, REQUEST_BYTES);
    at.set(ValueLayout.JAVA_SHORT, 4, (short) SOCK_DIAG_BY_FAMILY);
    at.set(ValueLayout.JAVA_SHORT, 6, (short) flags);
    // struct unix_diag_req: family, protocol, pad, states, inode, show, cookie (all ones: any)
    at.set(ValueLayout.JAVA_BYTE, HEADER_BYTES, (byte) Sockets.AF_UNIX);
    at.set(ValueLayout.JAVA_INT, HEADER_BYTES + 4, states);
    at.set(ValueLayout.JAVA_INT, HEADER_BYTES + 8, (int) inode);
    at.set(ValueLayout.JAVA_INT, HEADER_BYTES + 12, show);
    at.set(ValueLayout.JAVA_INT, HEADER_BYTES + 16, -1);
    at.set(ValueLayout.JAVA_INT, HEADER_BYTES + 20, -1);
    Libc.check(
        Libc.syscall(SyscallNumber.SENDTO, monitor, at.address(), REQUEST_BYTES, 0, 0, 0), () -> "sendto(socket monitoring)");
  }

  /** @param begin and {@code end} of the message, with its header */
  private static UnixDiag parse(MemorySegment at, long begin, long end) {
    int type = at.get(ValueLayout.JAVA_BYTE, begin + HEADER_BYTES + 1);
    int state = at.get(ValueLayout.JAVA_BYTE, begin + HEADER_BYTES + 2);
    var name = new byte[0];
    var pending = new ArrayList<Long>();
    int backlog = 0;
    boolean connected = false;
    long peer = 0;
    long queue = 0;
    int shutdown = 0;
    for (long from = begin + MESSAGE_BYTES; from + 4 <= end; ) {
      int bytes = Short.toUnsignedInt(at.get(ValueLayout.JAVA_SHORT, from));
      switch (at.get(ValueLayout.JAVA_SHORT, from + 2)) {
        case ATTRIBUTE_NAME -> name = name(at.asSlice(from + 4, bytes - 4L).toArray(ValueLayout.JAVA_BYTE));
        case ATTRIBUTE_PEER -> {
          connected = true;
          peer = Integer.toUnsignedLong(at.get(ValueLayout.JAVA_INT, from + 4));
        }
        case ATTRIBUTE_ICONS -> {
          for (long icon = from + 4; icon + 4 <= from + bytes; icon += 4) {
            pending.add(Integer.toUnsignedLong(at.get(ValueLayout.JAVA_INT, icon)));
          }
        }
        case ATTRIBUTE_RQLEN -> {
          queue = Integer.toUnsignedLong(at.get(ValueLayout.JAVA_INT, from + 4));
          backlog = at.get(ValueLayout.JAVA_INT, from + 8);
        }
        case ATTRIBUTE_SHUTDOWN -> shutdown = at.get(ValueLayout.JAVA_BYTE, from + 4);
        default -> {
          // Something newer than this program.
        }
      }
      from += Math.max(4, (bytes + 3) & ~3);
    }
    return new UnixDiag(type, state, name, connected, peer, queue, backlog, pending, shutdown);
  }

  private static byte[] name(byte[] raw) {
    // struct sockaddr_un: a path has a final zero byte, an abstract name has none.
    return raw.length > 1 && raw[0] != 0 ? Arrays.copyOf(raw, raw.length - 1) : raw;
  }

  public boolean isListening() {
    return state == LISTEN;
  }

  /** Whether it has a name in the file system. */
  public boolean hasPath() {
    return name.length > 0 && name[0] != 0;
  }

  /** Whether messages keep their borders and come with an address. */
  public boolean isDatagram() {
    return type == Sockets.SOCK_DGRAM;
  }
}
