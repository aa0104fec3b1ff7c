package io.gantry.node.bench;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Network namespaces for two nodes and a client. The nodes speak with each other over one switch, 10.213.0.1 and 10.213.0.2; each
 * has a bridge {@code br0}, and these and the
 * client, 10.9.0.1, are joined by another switch. One thread.
 */
final class BenchNetwork implements AutoCloseable {
  /** Where the container is. */
  static final String CONTAINER = "10.9.0.5";

  private static final int SECONDS_MAX = 10;
  /** What one packet of the nodes' own traffic may have; the largest that a pair takes. */
  private static final String MTU = "65535";

  private final String prefix = "gantry-bench-" + ProcessHandle.current().pid();
  private final List<String> made = new ArrayList<>();

  private BenchNetwork() {}

  /** Makes it. @throws CommandException when that cannot be done; nothing is left then */
  static BenchNetwork create() {
    var network = new BenchNetwork();
    try {
      network.build();
      return network;
    } catch (RuntimeException failure) {
      network.close();
      throw failure;
    }
  }

  private void build() {
    String hub = add("switch");
    for (String bridge : List.of("nodes", "br0")) {
      ip("-n", hub, "link", "add", bridge, "type", "bridge");
      ip("-n", hub, "link", "set", bridge, "up");
    }
    for (int i = 0; i < 2; i++) {
      String node = add(Integer.toString(i));
      ip("-n", node, "link", "add", "eth0", "mtu", MTU, "type", "veth", "peer", "name", "n" + i, "netns", hub);
      ip("-n", hub, "link", "set", "n" + i, "mtu", MTU, "master", "nodes", "up");
      ip("-n", node, "addr", "add", address(i) + "/24", "dev", "eth0");
      ip("-n", node, "link", "set", "eth0", "up");
      ip("-n", node, "link", "add", "br0", "type", "bridge");
      ip("-n", node, "link", "add", "up0", "type", "veth", "peer", "name", "c" + i, "netns", hub);
      ip("-n", node, "link", "set", "up0", "master", "br0", "up");
      ip("-n", node, "link", "set", "br0", "up");
      ip("-n", hub, "link", "set", "c" + i, "master", "br0", "up");
    }
    String client = add("client");
    ip("-n", client, "link", "add", "eth0", "type", "veth", "peer", "name", "client", "netns", hub);
    ip("-n", hub, "link", "set", "client", "master", "br0", "up");
    ip("-n", client, "addr", "add", "10.9.0.1/24", "dev", "eth0");
    ip("-n", client, "link", "set", "eth0", "up");
  }

  private String add(String what) {
    String name = prefix + "-" + what;
    ip("netns", "add", name);
    made.add(name);
    ip("-n", name, "link", "set", "lo", "up");
    return name;
  }

  String address(int node) {
    return "10.213.0." + (node + 1);
  }

  /** What stands before a command that is to run in the network of a node. */
  List<String> node(int node) {
    return enter(Integer.toString(node));
  }

  /** What stands before a command that is to run where the client is. */
  List<String> client() {
    return enter("client");
  }

  /** Not {@code ip netns exec}: that mounts a {@code /sys} of its own, in which there are no control groups. */
  private List<String> enter(String what) {
    return List.of("nsenter", "--net=/run/netns/" + prefix + "-" + what);
  }

  private static void ip(String... words) {
    var command = new ArrayList<>(List.of("ip"));
    command.addAll(List.of(words));
    run(command);
  }

  /** Runs a command, which must succeed. */
  static String run(List<String> command) {
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).redirectInput(new java.io.File("/dev/null")).start();
      String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      if (!process.waitFor(SECONDS_MAX, TimeUnit.SECONDS) || process.exitValue() != 0) {
        throw new CommandException(ExitCode.FAILED, "\"" + String.join(" ", command) + "\" failed: " + output.strip());
      }
      return output;
    } catch (IOException failure) {
      throw new CommandException(
          ExitCode.NOT_FOUND, "Cannot run " + command.getFirst() + " (packages iproute2 and util-linux): " + failure.getMessage(), failure);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new CommandException(ExitCode.INTERRUPTED, "Interrupted.");
    }
  }

  @Override
  public void close() {
    for (String name : made.reversed()) {
      ip("netns", "delete", name);
    }
    made.clear();
  }
}
