package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Network namespaces, one per host, joined by a bridge in one more. Addresses are 10.213.0.1 and so on; the host's own network knows
 * nothing of them.
 */
final class TestNetwork implements AutoCloseable {
  private final List<String> names = new ArrayList<>();
  private final List<String> clients = new ArrayList<>();
  private final String bridge;

  private TestNetwork(String mark) {
    bridge = "gantry-" + suffix(mark) + "-br";
  }

  private static String suffix(String mark) {
    return Integer.toHexString(mark.hashCode() & 0xffffff);
  }

  static TestNetwork create(String mark, int hosts) {
    var network = new TestNetwork(mark);
    try {
      network.build(suffix(mark), hosts);
      return network;
    } catch (RuntimeException | Error failure) {
      network.close();
      throw failure;
    }
  }

  private void build(String suffix, int hosts) {
    add(bridge);
    ip("-n", bridge, "link", "add", "br0", "type", "bridge");
    ip("-n", bridge, "link", "set", "br0", "up");
    for (int i = 0; i < hosts; i++) {
      String name = "gantry-" + suffix + "-" + i;
      add(name);
      String port = "p" + i;
      ip("-n", name, "link", "add", "eth0", "mtu", "65535", "type", "veth", "peer", "name", port, "netns", bridge);
      ip("-n", bridge, "link", "set", port, "mtu", "65535", "master", "br0", "up");
      ip("-n", name, "addr", "add", address(i) + "/24", "dev", "eth0");
      ip("-n", name, "link", "set", "eth0", "up");
    }
  }

  /**
   * A second network, for containers: each host gets a bridge, {@code br0}, and all of these are joined by a switch, at which a
   * client is, 10.9.0.1 and fd00::1.
   *
   * @return what stands before a command that is to run at the client
   */
  List<String> joinContainers() {
    String client = prefix() + "-client";
    ip("netns", "add", client);
    clients.add(client);
    ip("-n", client, "link", "set", "lo", "up");
    ip("-n", bridge, "link", "add", "br1", "type", "bridge", "mcast_snooping", "0");
    ip("-n", bridge, "link", "set", "br1", "up");
    for (int i = 0; i < names.size() - 1; i++) {
      String name = names.get(i + 1);
      ip("-n", name, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0");
      ip("-n", name, "link", "add", "up0", "type", "veth", "peer", "name", "c" + i, "netns", bridge);
      ip("-n", name, "link", "set", "up0", "master", "br0", "up");
      ip("-n", name, "link", "set", "br0", "up");
      ip("-n", bridge, "link", "set", "c" + i, "master", "br1", "up");
    }
    ip("-n", client, "link", "add", "eth0", "type", "veth", "peer", "name", "client", "netns", bridge);
    ip("-n", bridge, "link", "set", "client", "master", "br1", "up");
    ip("-n", client, "link", "set", "eth0", "up");
    ip("-n", client, "addr", "add", "10.9.0.1/24", "dev", "eth0");
    ip("-n", client, "addr", "add", "fd00::1/64", "dev", "eth0", "nodad");
    return List.of("nsenter", "--net=/run/netns/" + client);
  }

  private void add(String name) {
    ip("netns", "add", name);
    names.add(name);
    ip("-n", name, "link", "set", "lo", "up");
  }

  /** What the names of all its namespaces begin with. */
  String prefix() {
    return bridge.substring(0, bridge.lastIndexOf('-'));
  }

  String address(int host) {
    return "10.213.0." + (host + 1);
  }

  /** What stands before a command that is to run there. */
  List<String> enter(int host) {
    // Not "ip netns exec": that mounts a /sys of its own, in which no cgroup hierarchy is mounted.
    return List.of("nsenter", "--net=/run/netns/" + names.get(host + 1));
  }

  /** Takes a host's only link down or up again; what is sent meanwhile vanishes. */
  void setLink(int host, boolean up) {
    ip("-n", names.get(host + 1), "link", "set", "eth0", up ? "up" : "down");
  }

  /** Lets what a host sends vanish, or not any more; it still hears the others. */
  void setSending(int host, boolean up) {
    for (int other = 0; other < names.size() - 1; other++) {
      if (other == host) {
        continue;
      }
      if (up) {
        ip("-n", names.get(host + 1), "neigh", "del", address(other), "dev", "eth0");
      } else {
        // To a station that is not there: no error tells the sender.
        ip("-n", names.get(host + 1), "neigh", "replace", address(other), "lladdr", "02:00:00:00:00:01", "dev", "eth0", "nud", "permanent");
      }
    }
  }

  private static void ip(String... words) {
    var command = new ArrayList<>(List.of("ip"));
    command.addAll(List.of(words));
    run(command.toArray(String[]::new));
  }

  /** Runs a command, which must succeed within ten seconds. */
  static void run(String... command) {
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
      assertThat(process.exitValue()).as(String.join(" ", command) + ": " + output).isZero();
    } catch (IOException failure) {
      throw new AssertionError(command[0] + " (packages iproute2, mount) is needed", failure);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new AssertionError("interrupted", interrupted);
    }
  }

  @Override
  public void close() {
    for (String name : clients) {
      ip("netns", "delete", name);
    }
    clients.clear();
    for (String name : names.reversed()) {
      ip("netns", "delete", name);
    }
    names.clear();
  }
}
