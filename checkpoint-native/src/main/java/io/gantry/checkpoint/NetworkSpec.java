package io.gantry.checkpoint;

import io.gantry.checkpoint.linux.NetworkDevice;
import java.net.InetAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.regex.Pattern;

/**
 * The network that a container is born with: a namespace of its own with one device, {@code eth0}, whose other end is in a
 * bridge of the host.
 *
 * @param bridge name of a bridge of the host
 * @param addresses at least one, each with the length of its prefix, as {@code 10.9.0.5/24} and {@code fd00::5/64}
 * @param gateways addresses of default routes, at most one of each family
 * @param mac hardware address, such as {@code 02:00:00:00:00:05}; the kernel's choice when empty
 * @param mtu bytes of the largest packet, 68 to 65535; the kernel's choice when empty
 */
public record NetworkSpec(String bridge, List<String> addresses, List<String> gateways, Optional<String> mac, OptionalInt mtu) {
  /** How {@link #parse} wants it. */
  public static final String FORM = "bridge=BR,address=ADDRESS/BITS[,address=…][,gateway=ADDRESS][,mac=MAC][,mtu=BYTES]";

  private static final Pattern BRIDGE = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]*");
  /** The second lowest bit of the first byte is that of addresses for whoever wants one, the lowest that of groups (IEEE 802). */
  private static final Pattern MAC = Pattern.compile("[0-9a-f][02468ace](:[0-9a-f]{2}){5}");

  /** {@code ETH_MIN_MTU} and {@code ETH_MAX_MTU} ({@code linux/if_ether.h}). */
  private static final int MTU_MIN = 68;

  private static final int MTU_MAX = 65535;

  public NetworkSpec {
    addresses = List.copyOf(addresses);
    gateways = List.copyOf(gateways);
  }

  /**
   * Reads what was typed, such as {@code bridge=br0,address=10.9.0.5/24,gateway=10.9.0.1}.
   *
   * @throws IllegalArgumentException with a sentence that says what is wrong
   */
  public static NetworkSpec parse(String text) {
    var bridge = "";
    var addresses = new ArrayList<String>();
    var gateways = new ArrayList<String>();
    Optional<String> mac = Optional.empty();
    var mtu = OptionalInt.empty();
    for (var part : text.split(",", -1)) {
      int equals = part.indexOf('=');
      var value = part.substring(equals + 1);
      switch (equals < 0 ? "" : part.substring(0, equals)) {
        case "bridge" -> bridge = requireBridge(value);
        case "address" -> addresses.add(requireAddress(value));
        case "gateway" -> gateways.add(literal(value).getHostAddress());
        case "mac" -> mac = Optional.of(requireMac(value.toLowerCase(java.util.Locale.ROOT)));
        case "mtu" -> mtu = OptionalInt.of(number(value, MTU_MIN, MTU_MAX, "an MTU"));
        default -> throw new IllegalArgumentException("A network is given as " + FORM + ", and '" + part + "' is no part of that.");
      }
    }
    if (bridge.isEmpty() || addresses.isEmpty()) {
      throw new IllegalArgumentException("A network needs a bridge and at least one address: " + FORM + ".");
    }
    return new NetworkSpec(bridge, addresses, gateways, mac, mtu);
  }

  private static String requireBridge(String name) {
    if (!BRIDGE.matcher(name).matches() || name.length() > NetworkDevice.NAME_MAX) {
      throw new IllegalArgumentException("'" + name + "' cannot be the name of a bridge.");
    }
    return name;
  }

  private static String requireAddress(String value) {
    int slash = value.indexOf('/');
    if (slash < 0) {
      throw new IllegalArgumentException("'" + value + "' is no address with the length of its prefix, such as 10.9.0.5/24.");
    }
    var address = literal(value.substring(0, slash));
    int bits = number(value.substring(slash + 1), 0, address.getAddress().length * 8, "the length of a prefix");
    return address.getHostAddress() + "/" + bits;
  }

  private static InetAddress literal(String value) {
    try {
      return InetAddress.ofLiteral(value);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException("'" + value + "' is no IP address.", e);
    }
  }

  private static String requireMac(String value) {
    if (!MAC.matcher(value).matches()) {
      throw new IllegalArgumentException("'" + value + "' is no hardware address of one device, such as 02:00:00:00:00:05.");
    }
    return value;
  }

  private static int number(String value, int min, int max, String what) {
    try {
      int number = Integer.parseInt(value);
      if (number >= min && number <= max) {
        return number;
      }
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException("'" + value + "' is no number, which " + what + " is.", e);
    }
    throw new IllegalArgumentException("'" + value + "' cannot be " + what + ": that is " + min + " to " + max + ".");
  }
}
