package io.gantry.checkpoint.resource;

import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;

/**
 * {@code struct sockaddr_in} and {@code sockaddr_in6} ({@code man 7 ip}, {@code man 7 ipv6}).
 *
 * @param family AF_INET or AF_INET6
 * @param port 0 to 65535
 * @param address 4 or 16 bytes, network order
 * @param scope interface index of a link-local address, else 0
 */
record InternetAddress(int family, int port, byte[] address, int scope) {
  private static final int AF_INET = 2;
  private static final int AF_INET6 = 10;

  static InternetAddress parse(byte[] raw) {
    var bytes = ByteBuffer.wrap(raw);
    int family = Short.toUnsignedInt(Short.reverseBytes(bytes.getShort(0)));
    int port = Short.toUnsignedInt(bytes.getShort(2));
    return family == AF_INET6
        ? new InternetAddress(family, port, Arrays.copyOfRange(raw, 8, 24), Integer.reverseBytes(bytes.getInt(24)))
        : new InternetAddress(family, port, Arrays.copyOfRange(raw, 4, 8), 0);
  }

  /** As CRIU keeps it: words as they lie in memory. */
  static InternetAddress of(int family, int port, List<Integer> words) {
    var bytes = ByteBuffer.allocate(family == AF_INET6 ? 16 : 4).order(ByteOrder.LITTLE_ENDIAN);
    words.forEach(bytes::putInt);
    return new InternetAddress(family, port, bytes.array(), 0);
  }

  List<Integer> words() {
    var bytes = ByteBuffer.wrap(address).order(ByteOrder.LITTLE_ENDIAN).asIntBuffer();
    var words = new int[bytes.remaining()];
    bytes.get(words);
    return Arrays.stream(words).boxed().toList();
  }

  byte[] raw() {
    var bytes = ByteBuffer.allocate(family == AF_INET6 ? 28 : 16);
    bytes.putShort(Short.reverseBytes((short) family)).putShort((short) port);
    if (family == AF_INET6) {
      // Flow label, which is none.
      bytes.putInt(0);
    }
    bytes.put(address);
    if (family == AF_INET6) {
      bytes.putInt(Integer.reverseBytes(scope));
    }
    return bytes.array();
  }

  /** Whether a bind made it what it is: it has a port, or an address besides "any". */
  boolean isBound() {
    return port != 0 || !isAny();
  }

  boolean isAny() {
    for (byte part : address) {
      if (part != 0) {
        return false;
      }
    }
    return true;
  }

  /** An IPv4 address that an IPv6 socket shows as {@code ::ffff:a.b.c.d}, as what it is; others unchanged. */
  InternetAddress plain() {
    boolean mapped = family == AF_INET6 && address[10] == -1 && address[11] == -1;
    for (int i = 0; i < 10 && mapped; i++) {
      mapped = address[i] == 0;
    }
    return mapped ? new InternetAddress(AF_INET, port, Arrays.copyOfRange(address, 12, 16), 0) : this;
  }

  /** Such as {@code 0.0.0.0:6379} and {@code [::]:6379}. */
  String text() {
    try {
      // Not as an InetAddress: that turns ::ffff:1.2.3.4 into 1.2.3.4.
      return family == AF_INET6
          ? "[" + Inet6Address.getByAddress(null, address, -1).getHostAddress().replaceFirst("^0:0:0:0:0:0:0:0$", "::") + "]:"
              + port
          : InetAddress.getByAddress(address).getHostAddress() + ":" + port;
    } catch (UnknownHostException e) {
      throw new IllegalStateException("an address of " + address.length + " bytes", e);
    }
  }
}
