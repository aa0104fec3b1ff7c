package io.gantry.checkpoint.network;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.network_link_entry;
import io.gantry.checkpoint.image.network_state;
import io.gantry.checkpoint.linux.NetworkDevice;
import io.gantry.checkpoint.linux.NetworkThread;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;

/**
 * The devices of a container's network namespace and what they are connected to. While neither its original nor its copy may
 * answer for the container's addresses the outer ends
 * are down, so that packets vanish. Any thread.
 */
public final class NetworkLinks {
  /** {@code ip -o -d link}: number, name, other end's number if that is elsewhere, flags, MTU, rest. */
  private static final Pattern LINE = Pattern.compile("(\\d+): ([^@:]+)(?:@(\\S+))?: <([^>]*)> mtu (\\d+) (.*)");

  private static final Pattern QUEUE = Pattern.compile("\\bqlen (\\d+)");
  private static final Pattern MASTER = Pattern.compile("\\bmaster (\\S+)");
  private static final Pattern MAC = Pattern.compile("link/(\\S+) (\\S+)");

  /** A bridge takes a device in once the kernel has noticed that it is connected, which takes a work item. */
  private static final long RUNNING_NS_MAX = 50_000_000;

  private static final long RUNNING_PAUSE_NS = 100_000;

  /**
   * What the kernel puts into each new namespace when these drivers are loaded ({@code fb_tunnels_only_for_init_net} of {@code
   * Documentation/admin-guide/sysctl/net.rst}).
   */
  private static final List<String> FALLBACKS =
      List.of("tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0");

  /**
   * One line. @param peer number of the other end when that is in another namespace, else -1; @param kind such as {@code veth}
   */
  record Seen(int index, String name, int peer, boolean up, int mtu, String mac, int queueLength, String kind, Optional<String> master) {}

  /** @param links what can be carried; @param obstacles sentences on the rest */
  record Found(List<network_link_entry> links, boolean loopbackUp, List<String> obstacles) {}

  private NetworkLinks() {}

  static List<Seen> parse(List<String> lines) {
    var found = new ArrayList<Seen>();
    for (var line : lines) {
      var match = LINE.matcher(line);
      if (!match.matches()) {
        throw new CheckpointException("ip(8) describes a network device in a way this version does not know: " + line);
      }
      var parts = match.group(6).split("\\\\\\s+");
      var mac = MAC.matcher(match.group(6));
      var type = mac.find() ? mac.group(1) : "";
      var address = type.equals("ether") || type.equals("loopback") ? mac.group(2) : "";
      var queue = QUEUE.matcher(parts[0]);
      var master = MASTER.matcher(parts[0]);
      var other = match.group(3);
      found.add(
          new Seen(
              Integer.parseInt(match.group(1)),
              match.group(2),
              other != null && other.matches("if\\d+") ? Integer.parseInt(other.substring(2)) : -1,
              List.of(match.group(4).split(",")).contains("UP"),
              Integer.parseInt(match.group(5)),
              address,
              queue.find() ? Integer.parseInt(queue.group(1)) : 0,
              type.equals("loopback") ? "loopback" : parts.length > 2 ? parts[2].strip().split("\\s")[0] : "",
              master.find() ? Optional.of(master.group(1)) : Optional.empty()));
    }
    return found;
  }

  /** The devices in the namespace of a process. */
  static Found of(int pid, boolean hooked) {
    var links = new ArrayList<network_link_entry>();
    var obstacles = new ArrayList<String>();
    boolean loopback = false;
    for (var seen : parse(NetworkTool.in(pid, "ip", "-o", "-d", "link", "show").lines())) {
      if (seen.kind.equals("loopback")) {
        loopback = seen.up;
      } else if (seen.kind.equals("veth") && seen.peer > 0) {
        var outer = outer(seen);
        if (outer.isEmpty()) {
          obstacles.add("the other end of its network device " + seen.name + " is not in this node's network namespace");
        } else if (outer.get().master.isEmpty() && !hooked) {
          obstacles.add(
              "the other end of its network device %s, %s, is in no bridge; put it in one, or configure network.hook".formatted(seen.name, outer.get().name));
        } else {
          var entry =
              network_link_entry.newBuilder()
                  .setName(seen.name)
                  .setIndex(seen.index)
                  .setMac(seen.mac)
                  .setMtu(seen.mtu)
                  .setQueueLength(seen.queueLength)
                  .setUp(seen.up)
                  .setOuter(outer.get().name);
          outer.get().master.ifPresent(entry::setBridge);
          links.add(entry.build());
        }
      } else if (!FALLBACKS.contains(seen.name) || seen.up) {
        obstacles.add(
            "its network namespace has %s, a device of kind %s, and only pairs (veth) whose other end is the host's can be carried"
                .formatted(seen.name, seen.kind.isEmpty() ? "unknown" : seen.kind));
      }
    }
    return new Found(links, loopback, obstacles);
  }

  private static Optional<Seen> outer(Seen inner) {
    var name = NetworkDevice.name(inner.peer);
    return name.flatMap(
        outer ->
            parse(NetworkTool.here("ip", "-o", "-d", "link", "show", "dev", outer).lines()).stream()
                .filter(seen -> seen.kind.equals("veth") && seen.peer == inner.index)
                .findFirst());
  }

  /** Cuts a container off: from here on nothing of it gets out, and nothing comes in. */
  static void cut(String container, int pid, network_state state, NetworkPolicy policy) {
    state.getLinksList().forEach(link -> NetworkDevice.setUp(link.getOuter(), false));
    policy.hook().ifPresent(hook -> call(hook, "down", container, pid, state));
  }

  /**
   * Connects a container to the network again, if it has one of its own and is not connected, and tells the neighbours where it
   * is. Idempotent; quick when nothing is to be
   * done.
   *
   * @param container its name, for a hook
   * @param pid its first process
   */
  public static void connect(String container, int pid, NetworkPolicy policy) {
    if (!NetworkThread.isElsewhere(pid)) {
      return;
    }
    connect(container, pid, of(pid, true), policy);
  }

  /** A hook is told the addresses too. */
  static void connect(String container, int pid, Found links, NetworkPolicy policy) {
    var state = NetworkState.ofLinks(links);
    connect(container, pid, policy.hook().isPresent() ? state.toBuilder().addAllShown(NetworkState.shown(pid)).build() : state, policy);
  }

  static void connect(String container, int pid, network_state state, NetworkPolicy policy) {
    policy.hook().ifPresent(hook -> call(hook, "up", container, pid, state));
    var up = state.getLinksList().stream().filter(network_link_entry::getUp).toList();
    for (var link : up) {
      NetworkDevice.setUp(link.getOuter(), true);
    }
    long end = System.nanoTime() + RUNNING_NS_MAX;
    for (var link : up) {
      while (!NetworkDevice.isRunning(link.getOuter()) && System.nanoTime() < end) {
        LockSupport.parkNanos(RUNNING_PAUSE_NS);
      }
    }
    announce(pid, state);
  }

  /**
   * Has the kernel tell the neighbours at which hardware address the container's addresses are, and so switches behind which
   * port.
   */
  static void announce(int pid, network_state state) {
    NetworkThread.in(
        pid,
        () -> {
          for (var link : state.getLinksList()) {
            if (link.getUp()) {
              announce(link.getName());
            }
          }
          return true;
        });
  }

  private static void announce(String device) {
    var switches = List.of(Path.of("/proc/sys/net/ipv4/conf", device, "arp_notify"), Path.of("/proc/sys/net/ipv6/conf", device, "ndisc_notify"));
    var before = new ArrayList<String>();
    try {
      for (var one : switches) {
        before.add(NetworkSysctls.value(one));
        set(one, "1");
      }
      NetworkDevice.setSameAddress(device);
      for (int i = 0; i < switches.size(); i++) {
        set(switches.get(i), before.get(i));
      }
    } catch (IOException e) {
      throw new CheckpointException("telling the neighbours of network device " + device + " where it is: " + e, e);
    }
  }

  /** A kernel without IPv6 has none of its switches. */
  private static void set(Path one, String value) throws IOException {
    if (Files.exists(one)) {
      Files.writeString(one, value);
    }
  }

  private static void call(Path hook, String verb, String container, int pid, network_state state) {
    var command = List.of(hook.toString(), verb, container, Integer.toString(pid));
    var result = NetworkTool.run(command, NetworkState.json(state).getBytes(StandardCharsets.UTF_8));
    if (result.status() != 0) {
      throw new CheckpointException(
          "the network hook \"%s\" ended with status %d: %s".formatted(String.join(" ", command), result.status(), result.err().strip()));
    }
  }
}
