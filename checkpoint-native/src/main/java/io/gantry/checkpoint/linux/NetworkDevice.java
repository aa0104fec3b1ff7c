package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Devices of the calling thread's network namespace, by the few calls that have to be quick ({@code man 7 netdevice}); what
 * need not be is left to {@code
 * ip(8)}. Changes need {@code CAP_NET_ADMIN}. Any thread.
 */
public final class NetworkDevice {
  /** Longest name ({@code IFNAMSIZ} less the end, {@code linux/if.h}). */
  public static final int NAME_MAX = 15;

  /** {@code linux/sockios.h}. */
  private static final int SIOCGIFNAME = 0x8910;

  private static final int SIOCGIFFLAGS = 0x8913;
  private static final int SIOCSIFFLAGS = 0x8914;
  private static final int SIOCSIFHWADDR = 0x8924;
  private static final int SIOCGIFHWADDR = 0x8927;
  private static final int SIOCGIFINDEX = 0x8933;

  /** {@code linux/if.h}. */
  private static final int IFF_UP = 1;

  private static final int IFF_RUNNING = 0x40;

  /** {@code struct ifreq}: 16 bytes of name, then a union. */
  private static final int REQUEST_BYTES = 40;

  private static final int VALUE_AT = 16;

  private NetworkDevice() {}

  /** The name of the device with this number. */
  public static Optional<String> name(int index) {
    var request = cleared();
    request.set(ValueLayout.JAVA_INT, VALUE_AT, index);
    return control(SIOCGIFNAME, request) == 0 ? Optional.of(request.getString(0, StandardCharsets.US_ASCII)) : Optional.empty();
  }

  /** The number of the device with this name. */
  public static OptionalInt index(String name) {
    var request = request(name);
    return control(SIOCGIFINDEX, request) == 0 ? OptionalInt.of(request.get(ValueLayout.JAVA_INT, VALUE_AT)) : OptionalInt.empty();
  }

  /** Takes a device up or down; nothing happens to one that is so already. */
  public static void setUp(String name, boolean up) {
    var request = request(name);
    Libc.check(control(SIOCGIFFLAGS, request), () -> "ioctl(SIOCGIFFLAGS of " + name + ")");
    short flags = request.get(ValueLayout.JAVA_SHORT, VALUE_AT);
    short wanted = (short) (up ? flags | IFF_UP : flags & ~IFF_UP);
    if (wanted != flags) {
      request.set(ValueLayout.JAVA_SHORT, VALUE_AT, wanted);
      Libc.check(control(SIOCSIFFLAGS, request), () -> "ioctl(SIOCSIFFLAGS of " + name + ")");
    }
  }

  /** Whether packets can go through it: it is up, and so is its other end. */
  public static boolean isRunning(String name) {
    var request = request(name);
    return control(SIOCGIFFLAGS, request) == 0 && (request.get(ValueLayout.JAVA_SHORT, VALUE_AT) & IFF_RUNNING) != 0;
  }

  /**
   * Sets a device's hardware address to what it is, which the kernel announces to the neighbours when {@code arp_notify} and
   * {@code ndisc_notify} are set
   * ({@code net/ipv4/devinet.c}, {@code net/ipv6/ndisc.c}: {@code NETDEV_CHANGEADDR}).
   */
  public static void setSameAddress(String name) {
    var request = request(name);
    Libc.check(control(SIOCGIFHWADDR, request), () -> "ioctl(SIOCGIFHWADDR of " + name + ")");
    Libc.check(control(SIOCSIFHWADDR, request), () -> "ioctl(SIOCSIFHWADDR of " + name + ")");
  }

  private static MemorySegment cleared() {
    var request = Scratch.get().asSlice(0, REQUEST_BYTES);
    request.fill((byte) 0);
    return request;
  }

  private static MemorySegment request(String name) {
    if (name.isEmpty() || name.length() > NAME_MAX) {
      throw new IllegalArgumentException("'" + name + "' cannot be the name of a network device");
    }
    var request = cleared();
    request.setString(0, name, StandardCharsets.US_ASCII);
    return request;
  }

  private static long control(int number, MemorySegment request) {
    int socket = (int) Libc.syscall(SyscallNumber.SOCKET, Sockets.AF_INET, Sockets.SOCK_DGRAM | Sockets.SOCK_CLOEXEC, 0);
    if (socket < 0) {
      return socket;
    }
    long result = Libc.syscall(SyscallNumber.IOCTL, socket, number, request.address());
    Fd.close(socket);
    return result;
  }
}
