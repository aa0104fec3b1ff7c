package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import java.util.OptionalInt;

/** Socket calls on descriptors of this process. Constants: {@code bits/socket.h}, {@code asm-generic/socket.h}. Any thread. */
public final class Sockets {
  public static final int AF_UNIX = 1;
  public static final int AF_INET = 2;
  public static final int AF_INET6 = 10;
  public static final int AF_NETLINK = 16;
  public static final int AF_PACKET = 17;
  public static final int AF_VSOCK = 40;

  public static final int SOCK_STREAM = 1;
  public static final int SOCK_DGRAM = 2;
  public static final int SOCK_RAW = 3;
  public static final int SOCK_SEQPACKET = 5;
  public static final int SOCK_NONBLOCK = Fd.O_NONBLOCK;
  public static final int SOCK_CLOEXEC = Fd.O_CLOEXEC;

  public static final int SOL_SOCKET = 1;
  public static final int SO_TYPE = 3;
  public static final int SO_PROTOCOL = 38;
  public static final int SO_DOMAIN = 39;

  public static final int IPPROTO_IP = 0;
  public static final int IPPROTO_TCP = 6;
  public static final int IPPROTO_UDP = 17;
  public static final int IPPROTO_IPV6 = 41;

  /** {@code linux/sockios.h}, {@code linux/in.h}, {@code linux/un.h}. */
  private static final int SIOCOUTQ = 0x5411;

  private static final int MCAST_MSFILTER = 48;
  private static final int SIOCUNIXFILE = 0x89E0;
  private static final int SO_GET_FILTER = 26;
  private static final int OPTION_BYTES_MAX = 4096;
  private static final int SCM_RIGHTS = 1;
  private static final int MSG_NOSIGNAL = 0x4000;

  private Sockets() {}

  /** A new close-on-exec socket. */
  public static int create(int family, int type, int protocol) {
    return (int)
        Libc.check(
            Libc.syscall(SyscallNumber.SOCKET, family, type | SOCK_CLOEXEC, protocol),
            () -> "socket(family " + family + ", type " + type + ", protocol " + protocol + ")");
  }

  /** The raw value of an option; empty when this kind of socket does not have it. */
  public static Optional<byte[]> option(int fd, int level, int name) {
    var length = Scratch.get();
    var value = length.asSlice(16, OPTION_BYTES_MAX);
    length.set(ValueLayout.JAVA_INT, 0, OPTION_BYTES_MAX);
    long result = Libc.syscall(SyscallNumber.GETSOCKOPT, fd, level, name, value.address(), length.address(), 0);
    return result < 0
        ? Optional.empty()
        : Optional.of(value.asSlice(0, length.get(ValueLayout.JAVA_INT, 0)).toArray(ValueLayout.JAVA_BYTE));
  }

  /** Whether an option has exactly this raw value. Leaves no object behind: there are many options, and most have what is usual. */
  public static boolean hasOption(int fd, int level, int name, MemorySegment wanted) {
    var length = Scratch.get();
    length.set(ValueLayout.JAVA_INT, 0, OPTION_BYTES_MAX);
    long result = Libc.syscall(SyscallNumber.GETSOCKOPT, fd, level, name, length.address() + 16, length.address(), 0);
    long bytes = wanted.byteSize();
    return result >= 0 && length.get(ValueLayout.JAVA_INT, 0) == bytes && MemorySegment.mismatch(length, 16, 16 + bytes, wanted, 0, bytes) < 0;
  }

  /** The value of an option that is an {@code int}. */
  public static int intOption(int fd, int level, int name) {
    var length = Scratch.get();
    length.set(ValueLayout.JAVA_INT, 0, 4);
    length.set(ValueLayout.JAVA_INT, 16, 0);
    long result = Libc.syscall(SyscallNumber.GETSOCKOPT, fd, level, name, length.address() + 16, length.address(), 0);
    Libc.check(result, () -> "getsockopt(descriptor " + fd + ", level " + level + ", option " + name + ")");
    return length.get(ValueLayout.JAVA_INT, 16);
  }

  /** Sets an option; 0 or minus the error number. */
  public static long setOption(int fd, int level, int name, byte[] value) {
    var at = put(value);
    return Libc.syscall(SyscallNumber.SETSOCKOPT, fd, level, name, at, value.length, 0);
  }

  /** Sets an option that is an {@code int}. */
  public static void setIntOption(int fd, int level, int name, int value) {
    var at = Scratch.get();
    at.set(ValueLayout.JAVA_INT, 0, value);
    Libc.check(
        Libc.syscall(SyscallNumber.SETSOCKOPT, fd, level, name, at.address(), 4, 0),
        () -> "setsockopt(descriptor " + fd + ", level " + level + ", option " + name + ", " + value + ")");
  }

  /** Which sources of a multicast group a socket wants: all, or only some. */
  public record GroupFilter(int mode, int sources) {
    /** {@code MCAST_EXCLUDE}, {@code linux/in.h}. */
    private static final int EXCLUDE = 0;

    public boolean takesAll() {
      return mode == EXCLUDE && sources == 0;
    }
  }

  /**
   * The filter of a group that a socket has joined ({@code MCAST_MSFILTER}); empty when it has not joined it.
   *
   * @param level IPPROTO_IP or IPPROTO_IPV6
   * @param group {@code struct group_req}
   */
  public static Optional<GroupFilter> groupFilter(int fd, int level, byte[] group) {
    var at = Scratch.get();
    at.asSlice(0, 512).fill((byte) 0);
    // struct group_filter: as group_req, then mode and number of sources, and room for the sources.
    at.asSlice(16, group.length).copyFrom(java.lang.foreign.MemorySegment.ofArray(group));
    at.set(ValueLayout.JAVA_INT, 0, group.length + 8);
    long result = Libc.syscall(SyscallNumber.GETSOCKOPT, fd, level, MCAST_MSFILTER, at.address() + 16, at.address(), 0);
    return result < 0
        ? Optional.empty()
        : Optional.of(
            new GroupFilter(
                at.get(ValueLayout.JAVA_INT, 16 + group.length), at.get(ValueLayout.JAVA_INT, 20 + group.length)));
  }

  /** Whether an eBPF filter is attached, which cannot be read back. */
  public static boolean hasForeignFilter(int fd) {
    return filterLength(fd) == -Errno.EACCES;
  }

  /** Instructions of a classic packet filter, each a {@code struct sock_filter} of 8 bytes; 0 when there is none. */
  public static long filterLength(int fd) {
    var length = Scratch.get();
    length.set(ValueLayout.JAVA_INT, 0, 0);
    long result =
        Libc.syscall(SyscallNumber.GETSOCKOPT, fd, SOL_SOCKET, SO_GET_FILTER, length.address() + 16, length.address(), 0);
    // EACCES: an eBPF program (net/core/filter.c, sk_get_filter).
    return result < 0 ? result : length.get(ValueLayout.JAVA_INT, 0);
  }

  /** The instructions of a classic packet filter as they lie in memory. */
  public static byte[] filter(int fd, int instructions) {
    var length = Scratch.get();
    length.set(ValueLayout.JAVA_INT, 0, instructions);
    Libc.check(
        Libc.syscall(SyscallNumber.GETSOCKOPT, fd, SOL_SOCKET, SO_GET_FILTER, length.address() + 16, length.address(), 0),
        () -> "getsockopt(descriptor " + fd + ", SO_GET_FILTER)");
    return length.asSlice(16, 8L * instructions).toArray(ValueLayout.JAVA_BYTE);
  }

  /** The raw {@code sockaddr} that the socket is bound to. */
  public static byte[] localAddress(int fd) {
    return address(SyscallNumber.GETSOCKNAME, "getsockname", fd).orElseThrow();
  }

  /** The raw {@code sockaddr} of the other side; empty when there is none. */
  public static Optional<byte[]> peerAddress(int fd) {
    return address(SyscallNumber.GETPEERNAME, "getpeername", fd);
  }

  private static Optional<byte[]> address(int number, String name, int fd) {
    var length = Scratch.get();
    length.set(ValueLayout.JAVA_INT, 0, 256);
    long result = Libc.syscall(number, fd, length.address() + 16, length.address());
    if (result == -Errno.ENOTCONN) {
      return Optional.empty();
    }
    Libc.check(result, () -> name + "(descriptor " + fd + ")");
    return Optional.of(length.asSlice(16, length.get(ValueLayout.JAVA_INT, 0)).toArray(ValueLayout.JAVA_BYTE));
  }

  /**
   * A descriptor, open with {@code O_PATH}, of the file that a Unix socket was bound to, wherever that is now ({@code
   * SIOCUNIXFILE},
   * {@code man 7 unix}); empty when the socket has no name in the file system.
   */
  public static OptionalInt unixFile(int fd) {
    long result = Fd.ioctl(fd, SIOCUNIXFILE, 0);
    if (result == -Errno.ENOENT) {
      return OptionalInt.empty();
    }
    return OptionalInt.of((int) Libc.check(result, () -> "ioctl(descriptor " + fd + ", SIOCUNIXFILE)"));
  }

  /** Bytes of kernel memory that what was sent and not received yet takes ({@code SIOCOUTQ}). */
  public static int bytesOnTheWay(int fd) {
    var count = Scratch.get();
    Libc.check(Fd.ioctl(fd, SIOCOUTQ, count), () -> "ioctl(descriptor " + fd + ", SIOCOUTQ)");
    return count.get(ValueLayout.JAVA_INT, 0);
  }

  /** {@code bind(2)} to a raw {@code sockaddr}; 0 or minus the error number. */
  public static long bind(int fd, byte[] address) {
    return Libc.syscall(SyscallNumber.BIND, fd, put(address), address.length);
  }

  /**
   * Sends copies of our descriptors as one message with one byte of data over a Unix socket ({@code SCM_RIGHTS},
   * at most 253).
   */
  public static void sendDescriptors(int socket, int[] descriptors) {
    var at = Scratch.get();
    long base = at.address();
    at.asSlice(0, 256).fill((byte) 0);
    // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags
    at.set(ValueLayout.JAVA_LONG, 16, base + 64);
    at.set(ValueLayout.JAVA_LONG, 24, 1);
    at.set(ValueLayout.JAVA_LONG, 32, base + 128);
    at.set(ValueLayout.JAVA_LONG, 40, (16 + 4L * descriptors.length + 7) & ~7);
    // struct iovec: one byte, because a message without data carries nothing on stream sockets
    at.set(ValueLayout.JAVA_LONG, 64, base + 96);
    at.set(ValueLayout.JAVA_LONG, 72, 1);
    // struct cmsghdr
    at.set(ValueLayout.JAVA_LONG, 128, 16 + 4L * descriptors.length);
    at.set(ValueLayout.JAVA_INT, 136, SOL_SOCKET);
    at.set(ValueLayout.JAVA_INT, 140, SCM_RIGHTS);
    for (int i = 0; i < descriptors.length; i++) {
      at.set(ValueLayout.JAVA_INT, 144 + 4L * i, descriptors[i]);
    }
    Libc.check(
        Libc.syscall(SyscallNumber.SENDMSG, socket, base, MSG_NOSIGNAL),
        () -> "sendmsg(SCM_RIGHTS, " + descriptors.length + " descriptors)");
  }

  private static long put(byte[] bytes) {
    var at = Scratch.get();
    at.asSlice(0, bytes.length).copyFrom(java.lang.foreign.MemorySegment.ofArray(bytes));
    return at.address();
  }
}
