package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Containers of runc with a network namespace of their own move with their address and their connections, whoever has made their devices. */
@Tag("long")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class OciNetworkTest {
  private static final int TRIES = 4;
  private static final Duration SOON = Duration.ofSeconds(10);

  @TempDir static Path scratch;

  private OciHosts hosts;

  @BeforeAll
  void start() throws IOException {
    hosts = OciHosts.start(scratch, "ocinet");
  }

  @AfterAll
  void end() {
    if (hosts != null) {
      hosts.close();
    }
  }

  private StreamingClient client(String name, String address, int connections, int window) throws IOException {
    return new StreamingClient(hosts.cluster().directory(), hosts.client(), name, address, connections, window);
  }

  private void awaitListening(int node, String name) {
    await("the server")
        .atMost(SOON)
        .until(() -> hosts.runc(node, "exec", name, "/bin/busybox", "netstat", "-ltn").output().contains(":7000"));
  }

  private void stop(int node, String name) {
    hosts.node(node).ask(ControlClient.request("stop").put("container", name));
  }

  @Test
  void connectionsLiveThroughThreeMovesWhenGantryHasMadeTheDevice() throws Exception {
    var bundle = hosts.echo("web", config -> OciHosts.namespace(config, "network"));
    hosts.node(0).ask(OciHosts.request("web", bundle).put("network", "bridge=br0,address=10.9.0.6/24,address=fd00::6/64,gateway=10.9.0.1"));
    awaitListening(0, "web");
    long resets = StreamingClient.tcpCount(hosts.client(), "EstabResets");
    String before = look(0, "web");
    assertThat(before).contains("10.9.0.6/24", "fd00::6/64", "default via 10.9.0.1");
    try (var many = client("many", "10.9.0.6", 50, 4096);
        var fast = client("fast", "fd00::6", 1, 1 << 18)) {
      for (int move = 0; move < 3; move++) {
        many.awaitMore(8192);
        fast.awaitMore(1 << 20);
        assertThat(hosts.runc(move, "update", "--pids-limit", Integer.toString(70 + move), "web").status()).isZero();
        hosts.move("web", move, TRIES);
        assertThat(pidsMax(move + 1, "web")).as("what runc update has set").isEqualTo(Integer.toString(70 + move));
      }
      many.awaitMore(8192);
      fast.awaitMore(1 << 20);
      System.out.println("own network of runc: " + many.end() + fast.end());
    }
    assertThat(StreamingClient.tcpCount(hosts.client(), "EstabResets")).as("connections that were reset").isEqualTo(resets);
    assertThat(look(1, "web")).as("its network as runc exec sees it").isEqualTo(before);
    stop(1, "web");
    assertThat(hosts.status(1, "web")).isEqualTo("none");
  }

  /** What the kernel has, in either layout of control groups. */
  private String pidsMax(int node, String name) throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/" + hosts.initPid(node, name) + "/cgroup"))) {
      Path limit = Path.of("/sys/fs/cgroup", line.startsWith("0::") ? "" : "pids", line.substring(line.lastIndexOf(':') + 2), "pids.max");
      if ((line.contains(":pids:") || line.startsWith("0::")) && Files.exists(limit)) {
        return Files.readString(limit).strip();
      }
    }
    return "none";
  }

  /** As a process that runc puts into the container sees it. */
  private String look(int node, String name) {
    var answer = hosts.runc(node, "exec", name, "/bin/busybox", "sh", "-c", "ip link | sed 's/@if[0-9]*//'; ip addr show | grep inet; ip route; ls /sys/class/net");
    assertThat(answer.status()).as(answer.output()).isZero();
    return answer.output();
  }

  /** A hook, as one of CNI would be, connects the container on each host before the original is cut off: nobody may be answered by two. */
  @Test
  void devicesThatTheBundlesOwnHookHasMadeAreTaken() throws Exception {
    Path hook = hosts.cluster().directory().resolve("connect");
    // Read by the hook whenever it runs.
    Path address = Files.writeString(hosts.cluster().directory().resolve("address"), "10.9.0.7/24");
    // From then on the client asks again and again who has the address, just when two have it.
    Path asker = hosts.cluster().directory().resolve("asker");
    Files.writeString(
        hook,
        """
        #!/bin/sh
        set -e
        pid=$(sed 's/.*"pid": *\\([0-9]*\\).*/\\1/')
        in="nsenter --net=/proc/$pid/ns/net ip"
        $in link add eth0 type veth peer name vh$pid netns $$
        ip link set vh$pid master br0 up
        $in addr add $(cat %1$s) dev eth0
        $in link set eth0 up
        $in route add default via 10.9.0.1
        for i in 1 2 3 4 5; do
          [ ! -e %2$s ] || nsenter --net=/proc/$(cat %2$s)/ns/net ip neigh flush dev eth0
          sleep 0.05
        done
        """
            .formatted(address, asker));
    Files.setPosixFilePermissions(hook, PosixFilePermissions.fromString("rwxr-xr-x"));
    var bundle =
        hosts.echo(
            "hooked",
            config -> {
              OciHosts.namespace(config, "network");
              config.putObject("hooks").putArray("createRuntime").addObject().put("path", hook.toString());
            });
    var made = hosts.runc(0, "run", "--detach", "--bundle", bundle.directory().toString(), "hooked");
    assertThat(made.status()).as(made.output()).isZero();
    hosts.node(0).ask(OciHosts.request("hooked", bundle).put("adopt", true));
    awaitListening(0, "hooked");
    long resets = StreamingClient.tcpCount(hosts.client(), "EstabResets");
    try (var client = client("hooked", "10.9.0.7", 20, 4096)) {
      client.awaitMore(8192);
      Files.writeString(asker, Long.toString(client.pid()));
      Files.writeString(address, "10.9.0.17/24");
      ObjectNode other = hosts.node(0).migrate("hooked", hosts.node(1));
      assertThat(other.path("outcome").asText()).as(other.toString()).isEqualTo("rolled-back");
      assertThat(other.toString()).contains("could not be made here as it was", "10.9.0.17/24");
      assertThat(hosts.status(1, "hooked")).isEqualTo("none");
      Files.writeString(address, "10.9.0.7/24");
      for (int move = 0; move < 2; move++) {
        client.awaitMore(8192);
        hosts.move("hooked", move, TRIES);
        String outer = StreamingClient.output(hosts.host(move + 1), "ip", "-o", "link", "show", "master", "br0");
        assertThat(outer).as("the hook's own device").contains("vh" + hosts.initPid(move + 1, "hooked"));
      }
      client.awaitMore(8192);
      client.end();
    }
    assertThat(StreamingClient.tcpCount(hosts.client(), "EstabResets")).as("connections that were reset").isEqualTo(resets);
    stop(0, "hooked");
  }

  /** What joins a namespace by path finds it, and what is in it, on every host; it stays when the container goes. */
  @Test
  void namespaceThatIsJoinedByPathMustBeThereAndFree() throws Exception {
    Path here = Files.createDirectories(hosts.cluster().directory().resolve("namespaces"));
    Path there = Files.createDirectories(hosts.cluster().directory().resolve("namespaces-there"));
    Path namespace = here.resolve("pod");
    // The second host sees others under the same name. A mount of a namespace itself would be seen by all tests that run now.
    hosts.onHost(1, "mount --bind " + there + " " + here);
    Process first = keepNamespace(namespace);
    Process second = null;
    try (AutoCloseable _ = () -> hosts.onHost(1, "umount " + here)) {
      String in = "nsenter --net=" + namespace + " ip ";
      hosts.onHost(
          0,
          in + "link add eth0 type veth peer name pod0 netns $$ && ip link set pod0 master br0 up && " + in + "link set eth0 up && " + in
              + "addr add 10.9.0.8/24 dev eth0");
      var bundle = hosts.echo("pod", config -> OciHosts.namespace(config, "network").put("path", namespace.toString()));
      hosts.node(0).ask(OciHosts.request("pod", bundle));
      awaitListening(0, "pod");
      try (var client = client("pod", "10.9.0.8", 10, 4096)) {
        client.awaitMore(8192);
        assertThat(refusal()).contains(namespace + ", the network namespace that its config.json joins, is not on this host");
        second = keepNamespace(there.resolve("pod"));
        Process guest = new ProcessBuilder("nsenter", "--net=/proc/" + hosts.initPid(0, "pod") + "/ns/net", "sleep", "60").start();
        try {
          await("a guest").atMost(SOON).until(() -> refusal().contains("process " + guest.pid() + " of the host is in its network namespace too"));
        } finally {
          guest.destroyForcibly();
          guest.waitFor();
        }
        for (int move = 0; move < 3; move++) {
          client.awaitMore(8192);
          hosts.move("pod", move, TRIES);
        }
        client.awaitMore(8192);
        client.end();
        stop(1, "pod");
      }
    } finally {
      first.destroyForcibly();
      if (second != null) {
        second.destroyForcibly();
      }
    }
  }

  /** Makes a network namespace that a process keeps which is not in it, and names it. */
  private static Process keepNamespace(Path link) throws IOException {
    String script = "ip link set lo up && exec 9</proc/self/ns/net && exec nsenter --net=/proc/" + ProcessHandle.current().pid() + "/ns/net sleep 600";
    Process keeper = new ProcessBuilder("unshare", "--net", "sh", "-c", script).start();
    Path namespace = Path.of("/proc/" + keeper.pid() + "/fd/9");
    await("a namespace").atMost(SOON).until(() -> keeper.info().command().filter(command -> command.endsWith("/sleep")).isPresent() && Files.exists(namespace));
    Files.createSymbolicLink(link, namespace);
    return keeper;
  }

  private String refusal() {
    ObjectNode outcome = hosts.node(0).migrate("pod", hosts.node(1));
    assertThat(outcome.path("outcome").asText()).as(outcome.toString()).isEqualTo("refused");
    return outcome.toString();
  }
}
