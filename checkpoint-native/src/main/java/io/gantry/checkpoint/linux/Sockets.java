package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;
import java.util.Optional;

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

  /** Whether a packet filter is attached, classic or eBPF ({@code SO_GET_FILTER}). */
  public static boolean hasFilter(int fd) {
    var length = Scratch.get();
    length.set(ValueLayout.JAVA_INT, 0, 0);
    long result =
        Libc.syscall(SyscallNumber.GETSOCKOPT, fd, SOL_SOCKET, SO_GET_FILTER, length.address() + 16, length.address(), 0);
    // EACCES: an eBPF program, which cannot be read back (net/core/filter.c, sk_get_filter).
    return result == -Errno.EACCES || (result == 0 && length.get(ValueLayout.JAVA_INT, 0) > 0);
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
