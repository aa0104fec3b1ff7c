package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Containers with a network of their own on hosts where a hook connects them; and what can happen to such containers beside plain moves. */
@Tag("long")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class NetworkHookTest {
  private static final Duration SOON = Duration.ofSeconds(20);
  private static final long LOOK_NS = 20_000_000;
  private static final int TRIES = 4;
  /** No host has this bridge: the hook knows where to. */
  private static final String NETWORK = "bridge=nowhere,address=10.9.0.5/24,gateway=10.9.0.1";

  @TempDir static Path scratch;

  private TestCluster cluster;
  private List<String> atClient = List.of();

  @BeforeAll
  void start() throws IOException {
    Path hook = Files.copy(StreamingClient.WORKLOADS.resolve("hook.sh"), scratch.resolve("hook.sh"), StandardCopyOption.COPY_ATTRIBUTES);
    Path config = Files.writeString(scratch.resolve("node.conf"), "gantry.network.hook = \"" + hook + "\"\n");
    cluster = TestCluster.start(new TestCluster.Options(2, true, false, false, List.of("--no-rehearsal", "--config", config.toString())));
    atClient = cluster.joinContainers();
  }

  @AfterAll
  void end() {
    if (cluster != null) {
      cluster.close();
    }
  }

  @AfterEach
  void stopContainers() throws IOException {
    Files.deleteIfExists(scratch.resolve("calls"));
    for (String name : List.of("echo", "halves")) {
      if (cluster.node(0).container(name).isPresent()) {
        cluster.node(0).ask(ControlClient.request("stop").put("container", name));
      }
    }
  }

  private void run(String name, String program, String... arguments) throws IOException {
    Path ready = cluster.directory().resolve("ready");
    Files.deleteIfExists(ready);
    var command = new ArrayList<>(List.of("python3", StreamingClient.WORKLOADS.resolve(program).toString(), ready.toString()));
    command.addAll(List.of(arguments));
    cluster.node(0).runInNetwork(name, NETWORK, command.toArray(String[]::new));
    await("the server").atMost(SOON).until(() -> Files.exists(ready));
  }

  private void move(String name, int from) {
    cluster.moveVerified(name, from, TRIES);
  }

  private StreamingClient client(String name) throws IOException {
    return new StreamingClient(cluster.directory(), atClient, name, "10.9.0.5", 10, 4096);
  }

  private List<String> calls() throws IOException {
    return Files.readAllLines(scratch.resolve("calls"));
  }

  private long initPid(int node) {
    return cluster.node(node).container("echo").orElseThrow().path("init_pid").asLong();
  }

  private boolean isUp(int node, long pid) throws IOException {
    return StreamingClient.output(cluster.node(node).enter(), "ip", "-o", "link", "show", "dev", "gt" + pid).contains(",UP");
  }

  @Test
  void hookConnectsAndDisconnectsAndIsCalledAgainWhenTheAgentHasDiedAfterTheCut() throws Exception {
    run("echo", "echo.py");
    assertThat(calls()).singleElement().asString().startsWith("up echo {").contains("\"name\":\"eth0\"", "\"device\":\"eth0\",\"address\":\"10.9.0.5/24\"");
    try (var client = client("hooked")) {
      client.awaitMore(8192);
      move("echo", 0);
      client.awaitMore(8192);
      assertThat(calls()).filteredOn(call -> call.startsWith("down echo")).isNotEmpty();
      assertThat(calls().getLast()).startsWith("up echo").contains("\"outer\":\"gt" + initPid(1) + "\"");
      dieAfterTheCut(1);
      client.awaitMore(8192);
      move("echo", 1);
      client.awaitMore(8192);
      client.end();
    }
  }

  /** The agent is killed when the container is cut off, and not held by the freezer yet: it runs on, and hears nobody until the agent is back. */
  private void dieAfterTheCut(int source) throws Exception {
    long pid = initPid(source);
    int before = calls().size();
    TestCluster.Node destination = cluster.node(1 - source);
    var stopped = new AtomicBoolean();
    var moving =
        Thread.ofPlatform()
            .start(
                () -> {
                  ObjectNode request = ControlClient.request("migrate").put("container", "echo").put("to", destination.name()).put("deadline_ms", 60_000);
                  try {
                    cluster.node(source).ask(
                        request,
                        progress -> {
                          if (progress.path("phase").asText().equals("Freezing") && stopped.compareAndSet(false, true)) {
                            destination.signal("STOP");
                          }
                        });
                  } catch (RuntimeException killed) {
                    // Nobody is left to answer.
                    stopped.set(true);
                  }
                });
    try {
      await("the cut").pollInterval(Duration.ofMillis(1)).atMost(SOON).until(() -> !isUp(source, pid));
      cluster.node(source).kill();
      assertThat(isUp(source, pid)).as("still cut off").isFalse();
    } finally {
      destination.signal("CONT");
      moving.join(SOON);
    }
    cluster.node(source).start();
    cluster.awaitReachable(2);
    await("its connection").atMost(SOON).until(() -> isUp(source, pid));
    assertThat(calls().subList(before, calls().size())).anyMatch(call -> call.startsWith("up echo"));
    await("its status")
        .atMost(SOON)
        .until(() -> cluster.node(source).container("echo").map(entry -> entry.path("status").asText().equals("running")).orElse(false));
  }

  @Test
  void connectionsThatAreClosedInOneDirectionGoOnInTheOther() throws Exception {
    Path stop = cluster.directory().resolve("halves.stop");
    Path result = cluster.directory().resolve("halves.result");
    Path seen = cluster.directory().resolve("halves.seen");
    run("halves", "halves.py", result.toString());
    long resets = StreamingClient.tcpCount(atClient, "EstabResets");
    var command = new ArrayList<>(atClient);
    command.addAll(List.of("python3", StreamingClient.WORKLOADS.resolve("halves_client.py").toString(), "10.9.0.5", stop.toString(), seen.toString()));
    Path output = cluster.directory().resolve("halves.output");
    Process client = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile()).start();
    try {
      for (int move = 0; move < 3; move++) {
        awaitNumbers(client, seen, output);
        // What is on the way when the container is frozen is lost, and nobody but its copy can send it again.
        loseWhatComesFrom(7002);
        try {
          move("halves", move % 2);
        } finally {
          StreamingClient.output(atClient, "nft", "delete", "table", "inet", "losing");
        }
      }
      awaitNumbers(client, seen, output);
      Files.createFile(stop);
      boolean ended = client.waitFor(SOON.toSeconds(), TimeUnit.SECONDS);
      assertThat(ended).as(() -> connections()).isTrue();
    } finally {
      client.destroyForcibly();
    }
    assertThat(client.exitValue()).as(Files.readString(output)).isZero();
    await("the server's count").atMost(SOON).until(() -> Files.exists(result));
    assertThat(result).hasContent(Files.readString(output).strip());
    assertThat(StreamingClient.tcpCount(atClient, "EstabResets")).as("connections that were reset").isEqualTo(resets);
  }

  /** What it says starts the timer anew by which a client sends again what was lost in the pause. */
  @Test
  void aCopyThatOwesNothingSaysNothingToAClientThatWaits() throws Exception {
    run("echo", "echo.py");
    Path ready = cluster.directory().resolve("idle.ready");
    var command = new ArrayList<>(atClient);
    command.addAll(
        List.of(
            "python3", "-c",
            "import socket, sys\nc = socket.create_connection(('10.9.0.5', 7000))\nc.sendall(b'x')\nassert c.recv(1) == b'x'\n"
                + "open(sys.argv[1], 'w').close()\nc.recv(1)",
            ready.toString()));
    Process client = new ProcessBuilder(command).inheritIO().start();
    try {
      await("the client").atMost(SOON).until(() -> Files.exists(ready));
      move("echo", 0);
      var inside = List.of("nsenter", "--net=/proc/" + initPid(1) + "/ns/net");
      assertThat(StreamingClient.output(inside, "ss", "-tHn", "state", "established")).as("its connection").contains("10.9.0.1");
      assertThat(StreamingClient.count(inside, "/proc/net/netstat", "TcpExt:", "TCPWinProbe")).as("probes").isZero();
      move("echo", 1);
    } finally {
      client.destroyForcibly();
    }
  }

  /** Until the client's table {@code losing} is deleted. */
  private void loseWhatComesFrom(int port) throws IOException {
    StreamingClient.output(atClient, "nft", "add", "table", "inet", "losing");
    StreamingClient.output(atClient, "nft", "add chain inet losing in { type filter hook input priority 0; }");
    StreamingClient.output(atClient, "nft", "add", "rule", "inet", "losing", "in", "tcp", "sport", Integer.toString(port), "drop");
    assertThat(StreamingClient.output(atClient, "nft", "list", "ruleset")).contains("drop");
  }

  /** What both kernels have, when something hangs. */
  private String connections() {
    try {
      var container = cluster.node(0).container("halves").orElseThrow();
      var inside = List.of("nsenter", "--net=/proc/" + container.path("init_pid").asLong() + "/ns/net");
      String links = "ip -o link; ip -o addr; ip neigh; bridge fdb show br br0 2>/dev/null";
      return container + "\n" + StreamingClient.output(atClient, "ss", "-tino") + StreamingClient.output(inside, "ss", "-tino")
          + StreamingClient.output(atClient, "sh", "-c", links) + StreamingClient.output(inside, "sh", "-c", links)
          + StreamingClient.output(cluster.node(0).enter(), "sh", "-c", links) + StreamingClient.output(cluster.node(1).enter(), "sh", "-c", links);
    } catch (IOException failure) {
      return failure.toString();
    }
  }

  private void awaitNumbers(Process client, Path seen, Path output) throws IOException {
    long before = number(seen);
    long endNs = System.nanoTime() + SOON.toNanos();
    while (number(seen) < before + 20) {
      assertThat(client.isAlive()).as(Files.readString(output)).isTrue();
      assertThat(System.nanoTime()).as(() -> "no more numbers\n" + connections()).isLessThan(endNs);
      LockSupport.parkNanos(LOOK_NS);
    }
  }

  private static long number(Path seen) throws IOException {
    return Files.exists(seen) ? Long.parseLong(Files.readString(seen).strip()) : 0;
  }

  /** Its network is in the images, and its connections go on from there. */
  @Test
  void containerIsRestoredFromImagesWithItsAddressAndItsConnections() throws Exception {
    run("echo", "echo.py");
    Path images = cluster.directory().resolve("images");
    try (var client = client("images")) {
      client.awaitMore(8192);
      var saved = cluster.node(0).cli("checkpoint", "--pid", Long.toString(initPid(0)), "--images", images.toString(), "--json");
      assertThat(saved.status()).as(saved.said()).isZero();
      var restored = cluster.node(1).cli("restore", "--images", images.toString(), "--json");
      assertThat(restored.status()).as(restored.said()).isZero();
      try {
        client.awaitMore(8192);
        client.end();
      } finally {
        long pid = restored.json().path("pid").asLong();
        var process = ProcessHandle.of(pid).orElseThrow();
        process.destroyForcibly();
        process.onExit().get(SOON.toSeconds(), TimeUnit.SECONDS);
        Path group = Path.of(restored.json().path("cgroup").asText());
        await("the end of its group").atMost(SOON).until(() -> !Files.exists(group) || group.toFile().delete());
        await("the group of all").atMost(SOON).until(() -> group.getParent().toFile().delete() || !Files.exists(group.getParent()));
      }
    }
  }
}
