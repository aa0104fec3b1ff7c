package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;

/**
 * What the kernel's socket monitoring tells about one Unix socket ({@code man 7 sock_diag}, {@code linux/unix_diag.h}).
 *
 * @param state TCP's numbers: 1 connected, 7 neither connected nor listening, 10 listening
 * @param bound whether it has a name
 * @param connected whether it has or had another end
 * @param peerInode inode of the other end; 0 when that is closed
 * @param receiveQueue bytes (stream) or messages that wait to be received, or connections that wait to be accepted
 * @param shutdown bit 0: reading is shut down, bit 1: writing is shut down
 */
public record UnixDiag(int state, boolean bound, boolean connected, long peerInode, long receiveQueue, int shutdown) {
  public static final int ESTABLISHED = 1;
  public static final int CLOSE = 7;
  public static final int LISTEN = 10;

  private static final int NETLINK_SOCK_DIAG = 4;
  private static final int SOCK_DIAG_BY_FAMILY = 20;
  private static final int NLMSG_ERROR = 2;
  private static final int NLM_F_REQUEST = 1;
  private static final int SHOW_NAME = 1;
  private static final int SHOW_PEER = 4;
  private static final int SHOW_RQLEN = 16;
  private static final int ATTRIBUTE_NAME = 0;
  private static final int ATTRIBUTE_PEER = 2;
  private static final int ATTRIBUTE_RQLEN = 4;
  private static final int ATTRIBUTE_SHUTDOWN = 6;
  private static final int HEADER_BYTES = 16;
  private static final int REQUEST_BYTES = HEADER_BYTES + 24;
  private static final int MESSAGE_BYTES = HEADER_BYTES + 16;

  /** Opens a connection to the monitoring of this thread's network namespace; close it with {@link Fd#close}. */
  public static int open() {
    return Sockets.create(Sockets.AF_NETLINK, Sockets.SOCK_RAW, NETLINK_SOCK_DIAG);
  }

  /** @throws KernelException {@code ENOENT} when the network namespace has no Unix socket with that inode */
  public static UnixDiag query(int monitor, long inode) {
    var at = Scratch.get();
    at.asSlice(0, REQUEST_BYTES).fill((byte) 0);
    at.set(ValueLayout.JAVA_INT, 0, REQUEST_BYTES);
    at.set(ValueLayout.JAVA_SHORT, 4, (short) SOCK_DIAG_BY_FAMILY);
    at.set(ValueLayout.JAVA_SHORT, 6, (short) NLM_F_REQUEST);
    // struct unix_diag_req: family, protocol, pad, states, inode, show, cookie (all ones: any)
    at.set(ValueLayout.JAVA_BYTE, HEADER_BYTES, (byte) Sockets.AF_UNIX);
    at.set(ValueLayout.JAVA_INT, HEADER_BYTES + 4, -1);
    at.set(ValueLayout.JAVA_INT, HEADER_BYTES + 8, (int) inode);
    at.set(ValueLayout.JAVA_INT, HEADER_BYTES + 12, SHOW_NAME | SHOW_PEER | SHOW_RQLEN);
    at.set(ValueLayout.JAVA_INT, HEADER_BYTES + 16, -1);
    at.set(ValueLayout.JAVA_INT, HEADER_BYTES + 20, -1);
    Libc.check(
        Libc.syscall(SyscallNumber.SENDTO, monitor, at.address(), REQUEST_BYTES, 0, 0, 0), () -> "sendto(socket monitoring)");
    long length =
        Libc.check(
            Libc.syscall(SyscallNumber.RECVFROM, monitor, at.address(), at.byteSize(), 0, 0, 0),
            () -> "recvfrom(socket monitoring)");
    if (at.get(ValueLayout.JAVA_SHORT, 4) == NLMSG_ERROR) {
      throw new KernelException("asking for the Unix socket with inode " + inode, -at.get(ValueLayout.JAVA_INT, HEADER_BYTES));
    }
    int state = at.get(ValueLayout.JAVA_BYTE, HEADER_BYTES + 2);
    boolean bound = false;
    boolean connected = false;
    long peer = 0;
    long queue = 0;
    int shutdown = 0;
    for (long from = MESSAGE_BYTES; from + 4 <= length; ) {
      int bytes = Short.toUnsignedInt(at.get(ValueLayout.JAVA_SHORT, from));
      switch (at.get(ValueLayout.JAVA_SHORT, from + 2)) {
        case ATTRIBUTE_NAME -> bound = bytes > 4;
        case ATTRIBUTE_PEER -> {
          connected = true;
          peer = Integer.toUnsignedLong(at.get(ValueLayout.JAVA_INT, from + 4));
        }
        case ATTRIBUTE_RQLEN -> queue = Integer.toUnsignedLong(at.get(ValueLayout.JAVA_INT, from + 4));
        case ATTRIBUTE_SHUTDOWN -> shutdown = at.get(ValueLayout.JAVA_BYTE, from + 4);
        default -> {
          // Something newer than this program.
        }
      }
      from += Math.max(4, (bytes + 3) & ~3);
    }
    return new UnixDiag(state, bound, connected, peer, queue, shutdown);
  }
}
