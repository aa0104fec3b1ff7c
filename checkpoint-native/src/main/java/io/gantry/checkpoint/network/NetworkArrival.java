package io.gantry.checkpoint.network;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.NetworkSpec;
import io.gantry.checkpoint.image.network_link_entry;
import io.gantry.checkpoint.image.network_state;
import io.gantry.checkpoint.linux.NetworkDevice;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;

/**
 * Makes the network namespace of a stub what it is to be: before the container runs its outer ends are down, and
 * {@link #connect} connects it. Devices that are there already, which hooks of a runtime or whoever made the namespace have made,
 * are taken. What was
 * prepared from one description is made anew when another one comes. One thread at a time.
 */
public final class NetworkArrival {
  private static final int PASSES = 3;
  /** What the kernel does with a work item of its own. */
  private static final long SETTLE_NS_MAX = 300_000_000;

  private static final long SETTLE_PAUSE_NS = 20_000_000;

  private final String container;
  private final NetworkPolicy policy;
  private Optional<network_state> made = Optional.empty();
  /** Outer ends of what was made here and not found. */
  private final List<String> own = new ArrayList<>();
  private int pid;
  private int version;

  public NetworkArrival(String container, NetworkPolicy policy) {
    this.container = container;
    this.policy = policy;
  }

  /** Why a container cannot come here that is in these bridges of its source. */
  public static List<String> obstacles(List<String> bridges, NetworkPolicy policy) {
    var found = new ArrayList<String>();
    if (policy.hook().isPresent()) {
      return found;
    }
    for (var bridge : bridges) {
      var here = policy.bridge(bridge);
      if (!isBridge(here)) {
        found.add(
            "the container is in the network of bridge %s, and this host has no bridge %s; make it, or say in network.bridges which one to take"
                .formatted(bridge, here));
      }
    }
    return found;
  }

  private static boolean isBridge(String name) {
    var result = NetworkTool.run(List.of("ip", "-o", "-d", "link", "show", "dev", name), new byte[0]);
    return result.status() == 0 && NetworkLinks.parse(result.lines()).stream().anyMatch(seen -> seen.kind().equals("bridge"));
  }

  /** Makes the device of a new container, and connects it. */
  public static void bear(String container, int pid, NetworkSpec spec, NetworkPolicy policy) {
    if (policy.hook().isEmpty() && !isBridge(spec.bridge())) {
      throw new CheckpointException("this host has no bridge " + spec.bridge() + "; make it with \"ip link add " + spec.bridge() + " type bridge\"");
    }
    var link = network_link_entry.newBuilder().setName("eth0").setIndex(2).setUp(true).setBridge(spec.bridge()).setQueueLength(1000);
    link.setMac(spec.mac().orElse("")).setMtu(spec.mtu().orElse(0));
    var arrival = new NetworkArrival(container, policy);
    arrival.pid = pid;
    NetworkTool.in(pid, "ip", "link", "set", "lo", "up");
    var outer = arrival.makeLink(link.build(), policy.hook().isPresent() ? Optional.empty() : Optional.of(spec.bridge()));
    if (NetworkState.hasV6(pid)) {
      // The address was chosen for this container: nobody else has it, and its program wants to bind to it at once.
      NetworkTool.in(pid, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad");
    }
    NetworkTool.in(pid, "ip", "link", "set", "eth0", "up");
    for (var address : spec.addresses()) {
      NetworkTool.in(pid, "ip", "addr", "add", address, "dev", "eth0");
    }
    for (var gateway : spec.gateways()) {
      NetworkTool.in(pid, "ip", "route", "add", "default", "via", gateway, "dev", "eth0");
    }
    NetworkLinks.connect(container, pid, new NetworkLinks.Found(List.of(link.setOuter(outer).build()), true, List.of()), policy);
  }

  /** Prepares the namespace of a stub; does nothing when it is prepared from the same description. */
  public void prepare(int stub, network_state state) {
    if (made.isPresent() && pid == stub && version == state.getVersion()) {
      return;
    }
    discard();
    pid = stub;
    version = state.getVersion();
    if (state.getLoopbackUp()) {
      NetworkTool.in(pid, "ip", "link", "set", "lo", "up");
    }
    var there = NetworkFence.devices(pid);
    var here = state.toBuilder().clearLinks();
    for (var link : state.getLinksList()) {
      var bridge = link.hasBridge() && policy.hook().isEmpty() ? Optional.of(policy.bridge(link.getBridge())) : Optional.<String>empty();
      var found = Optional.ofNullable(there.remove(link.getName()));
      if (found.isPresent()) {
        take(link, found.get(), bridge);
      }
      here.addLinks(link.toBuilder().setOuter(found.map(network_link_entry::getOuter).orElseGet(() -> makeLink(link, bridge))));
    }
    if (!there.isEmpty()) {
      throw new CheckpointException(
          "the network namespace of %s has devices here that it did not have: %s; hooks of its bundle must make the same on every host"
              .formatted(container, there.keySet()));
    }
    made = Optional.of(here.build());
    fill(state);
  }

  /**
   * Removes what was made here; idempotent. A namespace that nobody else uses takes it along anyway, but one that was joined by
   * path stays.
   */
  public void discard() {
    own.stream().filter(outer -> NetworkDevice.index(outer).isPresent())
        .forEach(outer -> NetworkTool.run(List.of("ip", "link", "del", outer), new byte[0]));
    own.clear();
    made = Optional.empty();
  }

  /** Makes a device that is there already what the original is. Its outer end stays where it is, if that is a bridge. */
  private void take(network_link_entry wanted, network_link_entry found, Optional<String> bridge) {
    if (found.getIndex() != wanted.getIndex()) {
      throw new CheckpointException(
          "network device %s of %s has the number %d here and had %d, which programs may know; a hook that makes it inside the namespace gives it the same"
              .formatted(wanted.getName(), container, found.getIndex(), wanted.getIndex()));
    }
    NetworkDevice.setUp(found.getOuter(), false);
    // What the kernel has made of its own hardware address goes with that (net/ipv6/addrconf.c, addrconf_ifdown).
    NetworkTool.in(pid, "ip", "link", "set", "dev", wanted.getName(), "down");
    var mtu = Integer.toString(wanted.getMtu());
    NetworkTool.in(
        pid, "ip", "link", "set", "dev", wanted.getName(), "address", wanted.getMac(), "mtu", mtu, "txqueuelen", Integer.toString(wanted.getQueueLength()));
    NetworkTool.here("ip", "link", "set", "dev", found.getOuter(), "mtu", mtu);
    if (!found.hasBridge()) {
      bridge.ifPresent(name -> NetworkTool.here("ip", "link", "set", found.getOuter(), "master", name));
    }
  }

  /**
   * A pair, the outer end of which is down. Names it after the first process, since the original's may be in the same
   * namespace.
   */
  private String makeLink(network_link_entry link, Optional<String> bridge) {
    var outer = freeName("gt" + pid + (link.getIndex() == 2 ? "" : "-" + link.getIndex()));
    own.add(outer);
    var words = new ArrayList<>(List.of("ip", "link", "add", "name", link.getName(), "index", Integer.toString(link.getIndex())));
    if (!link.getMac().isEmpty()) {
      words.addAll(List.of("address", link.getMac()));
    }
    var mtu = link.getMtu() == 0 ? List.<String>of() : List.of("mtu", Integer.toString(link.getMtu()));
    words.addAll(mtu);
    words.addAll(List.of("txqueuelen", Integer.toString(link.getQueueLength()), "type", "veth", "peer", "name", outer));
    words.addAll(mtu);
    words.addAll(List.of("netns", Long.toString(ProcessHandle.current().pid())));
    NetworkTool.in(pid, words.toArray(String[]::new));
    bridge.ifPresent(name -> NetworkTool.here("ip", "link", "set", outer, "master", name));
    return outer;
  }

  /** A namespace that outlived its container may have a device that was named after an earlier process of this number. */
  private static String freeName(String wanted) {
    var name = wanted;
    for (char more = 'a'; NetworkDevice.index(name).isPresent() && more <= 'z'; more++) {
      name = wanted + more;
    }
    return name;
  }

  private void fill(network_state state) {
    // No address may wait until it is known that nobody else has it: the original had it, and nobody answers now.
    Set<String> late = new HashSet<>();
    state.getLinksList().forEach(link -> late.add("ipv6/conf/" + link.getName() + "/accept_dad"));
    NetworkSysctls.write(pid, state, late);
    for (var link : state.getLinksList()) {
      if (NetworkState.hasV6(pid)) {
        NetworkTool.in(pid, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/" + link.getName() + "/accept_dad");
      }
      if (link.getUp()) {
        NetworkTool.in(pid, "ip", "link", "set", link.getName(), "up");
      }
    }
    // It complains of everything that the kernel has made by itself already; what came of it is compared in the end.
    NetworkTool.attempt(pid, state.getAddresses().toByteArray(), "ip", "addr", "restore");
    routes("-4", state.getRoutes4List());
    routes("-6", state.getRoutes6List());
    rules("-4", state.getRules4List());
    rules("-6", state.getRules6List());
    NetworkSysctls.write(pid, state, Set.of());
    if (state.hasFilters()) {
      PacketFilters.write(pid, state.getFilters());
    }
    compare(state);
  }

  /** One may need another: a gateway must be reachable. */
  private void routes(String family, List<String> wanted) {
    for (int pass = 0; pass < PASSES; pass++) {
      var here = NetworkState.routes(pid, family);
      for (var route : wanted) {
        if (!here.contains(route) && !isOfAddress(route)) {
          var words = new ArrayList<>(List.of("ip", family, "route", "append"));
          words.addAll(List.of(route.split(" ")));
          // What came of it is compared in the end.
          NetworkTool.attempt(pid, new byte[0], words.toArray(String[]::new));
        }
      }
    }
  }

  /**
   * The kernel makes it with its address, for IPv6 a moment later ({@code net/ipv6/addrconf.c}, addrconf_dad_work): making it too
   * would leave two.
   */
  private static boolean isOfAddress(String route) {
    return route.matches("(local|anycast|multicast|broadcast) .* proto kernel .*");
  }

  /** Lines such as {@code 32766: from all lookup main}. */
  private void rules(String family, List<String> wanted) {
    if (wanted.isEmpty()) {
      return;
    }
    var here = NetworkTool.in(pid, "ip", family, "rule", "show").lines();
    change(family, "del", here.stream().filter(rule -> !wanted.contains(rule)).toList());
    change(family, "add", wanted.stream().filter(rule -> !here.contains(rule)).toList());
  }

  private void change(String family, String verb, List<String> rules) {
    for (var rule : rules) {
      int colon = rule.indexOf(':');
      var words = new ArrayList<>(List.of("ip", family, "rule", verb, "priority", rule.substring(0, colon)));
      words.addAll(List.of(rule.substring(colon + 1).strip().split("\\s+")));
      NetworkTool.in(pid, words.toArray(String[]::new));
    }
  }

  private void compare(network_state state) {
    compare("addresses", state.getShownList(), NetworkState.shown(pid));
    compare("routes", state.getRoutes4List(), NetworkState.routes(pid, "-4"));
    long end = System.nanoTime() + SETTLE_NS_MAX;
    var wanted = withoutThoseOfAddresses(state.getRoutes6List());
    var six = withoutThoseOfAddresses(NetworkState.routes(pid, "-6"));
    while (!six.equals(wanted) && System.nanoTime() < end) {
      LockSupport.parkNanos(SETTLE_PAUSE_NS);
      six = withoutThoseOfAddresses(NetworkState.routes(pid, "-6"));
    }
    compare("routes", wanted, six);
  }

  /** Addresses are compared; one whose uniqueness was still being found out at the source has no route there yet, and has one here. */
  private static List<String> withoutThoseOfAddresses(List<String> routes) {
    return routes.stream().filter(route -> !isOfAddress(route)).toList();
  }

  private void compare(String what, List<String> wanted, List<String> here) {
    if (!here.equals(wanted)) {
      var missing = wanted.stream().filter(line -> !here.contains(line)).toList();
      var added = here.stream().filter(line -> !wanted.contains(line)).toList();
      throw new CheckpointException(
          "the network of " + container + " could not be made here as it was: of its " + what + " are missing " + missing
              + ", and there are too many: " + added);
    }
  }

  /** Connects it: from here on it answers for its addresses. Nothing happens to one without a network namespace of its own. */
  public void connect() {
    made.ifPresent(state -> NetworkLinks.connect(container, pid, state, policy));
  }
}
