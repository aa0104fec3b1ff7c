package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;

/**
 * Whether a network namespace has packet filters of nftables ({@code linux/netfilter/nf_tables.h}, {@code NFT_MSG_GETTABLE}).
 * Any thread.
 */
public final class PacketFilterDiag {
  private static final int NETLINK_NETFILTER = 12;

  /** {@code NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE}. */
  private static final int GET_TABLE = 10 << 8 | 1;

  private static final int NLMSG_ERROR = 2;
  private static final int NLMSG_DONE = 3;

  /** {@code NLM_F_REQUEST | NLM_F_DUMP}. */
  private static final int DUMP = 1 | 0x300;

  /** {@code struct nlmsghdr}, then {@code struct nfgenmsg} of 4 bytes: family (all), version, resource. */
  private static final int REQUEST_BYTES = 16 + 4;

  private static final int ANSWER_BYTES_MAX = 16 * 1024;

  private PacketFilterDiag() {}

  /** Of the calling thread's namespace; false where the kernel has no nftables. */
  public static boolean hasTables() {
    int socket = Sockets.create(Sockets.AF_NETLINK, Sockets.SOCK_RAW, NETLINK_NETFILTER);
    try {
      var at = Scratch.get();
      at.asSlice(0, REQUEST_BYTES).fill((byte) 0);
      at.set(ValueLayout.JAVA_INT, 0, REQUEST_BYTES);
      at.set(ValueLayout.JAVA_SHORT, 4, (short) GET_TABLE);
      at.set(ValueLayout.JAVA_SHORT, 6, (short) DUMP);
      Libc.check(Libc.syscall(SyscallNumber.SENDTO, socket, at.address(), REQUEST_BYTES, 0, 0, 0), () -> "sendto(NETLINK_NETFILTER)");
      Libc.check(Libc.syscall(SyscallNumber.RECVFROM, socket, at.address(), ANSWER_BYTES_MAX, 0, 0, 0), () -> "recvfrom(NETLINK_NETFILTER)");
      int type = at.get(ValueLayout.JAVA_SHORT, 4);
      return type != NLMSG_ERROR && type != NLMSG_DONE;
    } finally {
      Fd.close(socket);
    }
  }
}
