package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/**
 * Containers with a network of their own: the address moves with them, and clients outside notice nothing but a pause. Two
 * nodes and a client, each in a network namespace of its own, joined
 * by a switch.
 */
@Tag("long")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class OwnNetworkTest {
  private static final Duration SOON = Duration.ofSeconds(20);
  private static final int CONNECTIONS = 200;
  /** On a loaded host a node may not be heard in time and a move be rolled back, which its connections survive. */
  private static final int TRIES = 4;
  private static final String SERVER = "bridge=br0,address=10.9.0.5/24,address=fd00::5/64,gateway=10.9.0.1,mac=02:00:00:00:00:05";

  private TestCluster cluster;
  private List<String> atClient = List.of();
  private final List<StreamingClient> clients = new ArrayList<>();

  @TempDir static Path scratch;

  @BeforeAll
  void start() throws IOException {
    Path config = Files.writeString(scratch.resolve("node.conf"), "gantry.network.bridges { west = east, east = west }\n");
    cluster = TestCluster.start(new TestCluster.Options(2, true, false, false, List.of("--no-rehearsal", "--config", config.toString())));
    atClient = cluster.joinContainers();
  }

  @AfterEach
  void stopContainers() throws IOException {
    for (StreamingClient client : clients) {
      client.close();
    }
    clients.clear();
    if (cluster.node(0).container("echo").isPresent()) {
      cluster.node(0).ask(ControlClient.request("stop").put("container", "echo"));
    }
  }

  @AfterAll
  void end() {
    if (cluster != null) {
      cluster.close();
    }
  }

  private StreamingClient client(String name, String host, int connections, int window) throws IOException {
    var client = new StreamingClient(cluster.directory(), atClient, name, host, connections, window);
    clients.add(client);
    return client;
  }

  private void runEcho() {
    runEcho(SERVER);
  }

  private void runEcho(String network) {
    Path ready = cluster.directory().resolve("ready");
    try {
      Files.deleteIfExists(ready);
    } catch (IOException failure) {
      throw new AssertionError(failure);
    }
    cluster.node(0).runInNetwork("echo", network, "python3", StreamingClient.WORKLOADS.resolve("echo.py").toString(), ready.toString());
    await("the server").atMost(SOON).until(() -> Files.exists(ready));
  }

  private void move(String name, int from) {
    ObjectNode outcome = cluster.moveVerified(name, from, TRIES);
    System.out.println("own network: pause " + outcome.path("pause_ms").asDouble() + " ms");
  }

  @Test
  void connectionsOfManyClientsLiveThroughThreeMoves() throws Exception {
    runEcho();
    inContainer(0, "nft add table inet guard", "nft add chain inet guard in '{ type filter hook input priority 0; }'", "nft add rule inet guard in tcp dport 9 drop");
    inContainer(0, "ip route add 10.77.0.0/16 via 10.9.0.1 table 77", "ip rule add to 10.77.0.0/16 priority 1000 table 77");
    inContainer(0, "echo 1234 >/proc/sys/net/ipv4/tcp_keepalive_time", "ip link set eth0 mtu 1400");
    String before = look(0);
    assertThat(before).contains("dport 9 drop", "10.77.0.0/16", "1234", "mtu 1400", "02:00:00:00:00:05", "fd00::5/64", "default via 10.9.0.1");
    long resets = StreamingClient.tcpCount(atClient, "EstabResets");
    var many = client("many", "10.9.0.5", CONNECTIONS, 4096);
    var fast = client("fast", "10.9.0.5", 1, 1 << 19);
    var six = client("six", "fd00::5", 2, 1 << 16);
    for (int i = 0; i < 3; i++) {
      many.awaitMore(8192);
      fast.awaitMore(1 << 20);
      six.awaitMore(1 << 18);
      move("echo", i % 2);
    }
    many.awaitMore(8192);
    fast.awaitMore(1 << 20);
    six.awaitMore(1 << 18);
    for (StreamingClient client : List.of(many, fast, six)) {
      System.out.println("own network: " + client.end());
    }
    assertThat(StreamingClient.tcpCount(atClient, "EstabResets")).as("connections that were reset").isEqualTo(resets);
    assertThat(look(1)).as("its network as seen from inside").isEqualTo(before);
    for (String address : List.of("10.9.0.5", "239.9.0.5")) {
      assertThat(StreamingClient.output(atClient, "python3", StreamingClient.WORKLOADS.resolve("datagram.py").toString(), address)).as("a datagram to " + address).isEqualTo("answered\n");
    }
  }

  @Test
  void connectionsLiveOnWhenAMoveIsRolledBackAfterTheFreeze() throws Exception {
    runEcho();
    long resets = StreamingClient.tcpCount(atClient, "EstabResets");
    var client = client("back", "10.9.0.5", 20, 4096);
    client.awaitMore(8192);
    TestCluster.Node destination = cluster.node(1);
    var stopped = new AtomicBoolean();
    try {
      ObjectNode request = ControlClient.request("migrate").put("container", "echo").put("to", destination.name()).put("deadline_ms", 60_000);
      ObjectNode outcome =
          cluster.node(0).ask(
              request,
              progress -> {
                if (progress.path("phase").asText().equals("Freezing") && stopped.compareAndSet(false, true)) {
                  destination.signal("STOP");
                }
              });
      assertThat(outcome.path("outcome").asText()).as(outcome.toString()).isEqualTo("rolled-back");
    } finally {
      destination.signal("CONT");
    }
    assertThat(stopped).isTrue();
    client.awaitMore(8192);
    System.out.println("own network, rolled back: " + client.end());
    assertThat(StreamingClient.tcpCount(atClient, "EstabResets")).as("connections that were reset").isEqualTo(resets);
  }

  /** Runs commands in the container's network namespace. */
  private void inContainer(int node, String... commands) throws IOException {
    for (String command : commands) {
      TestNetwork.run("nsenter", "--net=/proc/" + initPid(node) + "/ns/net", "sh", "-c", command);
    }
  }

  private long initPid(int node) {
    return cluster.node(node).container("echo").orElseThrow().path("init_pid").asLong();
  }

  /** Devices, addresses, routes, rules, filters and a setting of the container. */
  private String look(int node) throws IOException {
    String commands =
        "ip -o link show | sed 's/@if[0-9]*//; s/link-netns.*//'; ip -o addr show; ip route show table all; ip -6 route show table all; ip rule; nft -s list ruleset;"
            + " cat /proc/sys/net/ipv4/tcp_keepalive_time";
    return StreamingClient.output(List.of("nsenter", "--net=/proc/" + initPid(node) + "/ns/net"), "sh", "-c", commands);
  }

  @Test
  void aMoveToANodeWithoutTheBridgeIsRefusedAndNothingHappens() throws Exception {
    runEcho();
    var client = client("refused", "10.9.0.5", 2, 4096);
    client.awaitMore(8192);
    rename(1, "br0", "other");
    try {
      ObjectNode outcome = cluster.node(0).migrate("echo", cluster.node(1));
      assertThat(outcome.path("outcome").asText()).isEqualTo("refused");
      assertThat(outcome.path("reason").asText()).contains("this host has no bridge br0");
    } finally {
      rename(1, "other", "br0");
    }
    client.awaitMore(8192);
    client.end();
  }

  @Test
  void aBridgeThatIsCalledOtherwiseThereIsTakenWhenTheConfigurationSaysSo() throws Exception {
    rename(0, "br0", "west");
    rename(1, "br0", "east");
    try {
      runEcho(SERVER.replace("bridge=br0", "bridge=west"));
      var client = client("bridges", "10.9.0.5", 2, 4096);
      for (int move = 0; move < 2; move++) {
        client.awaitMore(8192);
        move("echo", move);
      }
      client.awaitMore(8192);
      client.end();
      assertThat(StreamingClient.output(cluster.node(0).enter(), "ip", "link", "show", "master", "west")).contains("gt" + initPid(0));
    } finally {
      rename(0, "west", "br0");
      rename(1, "east", "br0");
    }
  }

  private void rename(int node, String from, String to) {
    var down = new ArrayList<>(cluster.node(node).enter());
    down.addAll(List.of("sh", "-c", "ip link set %s down && ip link set %s name %s && ip link set %s up".formatted(from, from, to, to)));
    TestNetwork.run(down.toArray(String[]::new));
  }
}
