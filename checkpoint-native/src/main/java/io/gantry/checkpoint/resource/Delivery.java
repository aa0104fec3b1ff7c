package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/** Brings descriptors of ours into a stub: {@code SCM_RIGHTS} over a socket pair that the stub makes and we take one end of. */
final class Delivery {
  /** {@code SCM_MAX_FD}, {@code net/scm.h}. */
  private static final int FILES_MAX = 253;

  private static final int MSG_CMSG_CLOEXEC = 0x40000000;
  private static final int HEADER_BYTES = 16;

  private Delivery() {}

  /** Sends each of {@code files} into the slot at the same place of {@code slots}. */
  static void deliver(StubDescriptors home, Recreation recreation, List<Integer> files, List<Integer> slots) {
    int ourEnd = recreation.freshSlot();
    int itsEnd = recreation.freshSlot();
    home.need(5, 16);
    // Nothing lies below the slots, so the two ends are 0 and 1.
    home.call("socketpair()", SyscallNumber.SOCKETPAIR, Sockets.AF_UNIX, Sockets.SOCK_DGRAM | Sockets.SOCK_CLOEXEC, 0,
        home.reserve(8));
    home.call("dup3(our end)", SyscallNumber.DUP3, 0, ourEnd, Fd.O_CLOEXEC);
    home.call("dup3(its end)", SyscallNumber.DUP3, 1, itsEnd, Fd.O_CLOEXEC);
    home.call("close(our end)", SyscallNumber.CLOSE, 0);
    home.call("close(its end)", SyscallNumber.CLOSE, 1);
    home.flush();
    int socket = home.take(ourEnd);
    try {
      for (int from = 0; from < files.size(); from += FILES_MAX) {
        int count = Math.min(FILES_MAX, files.size() - from);
        Sockets.sendDescriptors(socket, files.subList(from, from + count).stream().mapToInt(Integer::intValue).toArray());
        receive(home, itsEnd, slots.subList(from, from + count));
      }
    } finally {
      Fd.close(socket);
    }
  }

  private static void receive(StubDescriptors home, int itsEnd, List<Integer> slots) {
    int controlBytes = HEADER_BYTES + ((4 * slots.size() + 7) & ~7);
    home.need(1 + 2 * slots.size(), controlBytes + 16 + 16 + 16 + 64);
    // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags
    var header = ByteBuffer.allocate(56).order(ByteOrder.LITTLE_ENDIAN);
    var vector = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(home.reserve(1)).putLong(1);
    header.putLong(16, home.bytes(vector.array())).putLong(24, 1).putLong(32, home.reserve(controlBytes)).putLong(40,
        controlBytes);
    home.call("recvmsg()", SyscallNumber.RECVMSG, itsEnd, home.bytes(header.array()), MSG_CMSG_CLOEXEC);
    // The kernel gives out the lowest free numbers, in order.
    for (int i = 0; i < slots.size(); i++) {
      home.call("dup3(received)", SyscallNumber.DUP3, i, slots.get(i), Fd.O_CLOEXEC);
    }
    for (int i = 0; i < slots.size(); i++) {
      home.call("close(received)", SyscallNumber.CLOSE, i);
    }
  }
}
