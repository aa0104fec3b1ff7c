package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** The answers when the kernel's socket monitoring is asked for all sockets of some kind: {@code man 7 netlink}, {@code man 7 sock_diag}. */
final class SocketDump {
  /** {@code NLM_F_REQUEST | NLM_F_DUMP} ({@code linux/netlink.h}). */
  static final int REQUEST_FLAGS = 0x301;

  private static final int NLMSG_ERROR = 2;
  private static final int NLMSG_DONE = 3;
  private static final int HEADER_BYTES = 16;

  private SocketDump() {}

  /** Is shown one answer. */
  interface Visitor {
    /** @param begin of its {@code struct nlmsghdr}; @param end behind its last attribute */
    void answer(MemorySegment memory, long begin, long end);
  }

  /** Shows all answers to the request that was sent. @param what for sentences */
  static void read(int monitor, String what, Visitor visitor) {
    var at = Scratch.get();
    while (true) {
      long length =
          Libc.check(Libc.syscall(SyscallNumber.RECVFROM, monitor, at.address(), at.byteSize(), 0, 0, 0), () -> "recvfrom(socket monitoring)");
      for (long from = 0; from + HEADER_BYTES <= length; ) {
        long bytes = at.get(ValueLayout.JAVA_INT, from);
        switch (at.get(ValueLayout.JAVA_SHORT, from + 4)) {
          case NLMSG_DONE -> {
            return;
          }
          case NLMSG_ERROR -> throw new KernelException("asking for " + what, -at.get(ValueLayout.JAVA_INT, from + HEADER_BYTES));
          default -> visitor.answer(at, from, from + bytes);
        }
        from += (bytes + 3) & ~3L;
      }
    }
  }
}
