package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.Json;
import io.gantry.node.control.ControlClient;
import io.gantry.node.daemon.JavaProcess;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * Two nodes with runc, a network for containers and a client in it. The second node sees control groups and mounts of its own, as a second host would.
 */
final class OciHosts implements AutoCloseable {
  /** What makes another host of where a command runs: {@code sh SECOND_HOST NAME COMMAND…}. */
  static final Path SECOND_HOST = JavaProcess.home().resolve("cluster-node/src/main/resources/io/gantry/node/bench/second-host.sh");

  private static final Duration END_MAX = Duration.ofSeconds(10);

  private final TestCluster cluster;
  private final String secondHost;
  private final List<String> client;

  private OciHosts(TestCluster cluster, String secondHost) {
    this.cluster = cluster;
    this.secondHost = secondHost;
    this.client = cluster.joinContainers();
  }

  /**
   * Starts the nodes.
   *
   * @param scratch for the nodes' configuration
   * @param mark distinguishes the control groups of this test class
   */
  static OciHosts start(Path scratch, String mark) throws IOException {
    return start(scratch, mark, List.of());
  }

  /** @param within what stands before the command of the second node beside */
  static OciHosts start(Path scratch, String mark, List<String> within) throws IOException {
    Path config = Files.writeString(scratch.resolve("node.conf"), "gantry.runtime-root = runtime\n");
    String secondHost = "gantry-test-" + mark + "-" + ProcessHandle.current().pid();
    var second = new ArrayList<>(List.of("sh", SECOND_HOST.toString(), secondHost));
    second.addAll(within);
    var arguments = List.of("--no-rehearsal", "--config", config.toString());
    return new OciHosts(TestCluster.start(new TestCluster.Options(2, true, false, false, arguments, second)), secondHost);
  }

  TestCluster cluster() {
    return cluster;
  }

  TestCluster.Node node(int index) {
    return cluster.node(index % 2);
  }

  /** What stands before a command that is to run at the client, 10.9.0.1 and fd00::1. */
  List<String> client() {
    return client;
  }

  /** What stands before a command that is to run on a node's host: in its network, with its mounts. */
  List<String> host(int node) {
    return List.of("nsenter", "--net=/proc/" + node(node).pid() + "/ns/net", "--mount=/proc/" + node(node).pid() + "/ns/mnt", "--");
  }

  void onHost(int node, String script) {
    var command = new ArrayList<>(host(node));
    command.addAll(List.of("sh", "-c", script));
    TestNetwork.run(command.toArray(String[]::new));
  }

  /** A bundle whose program is the echo server, in a network namespace of its own. */
  TestBundle echo(String name, Consumer<ObjectNode> change) {
    var bundle =
        TestBundle.make(
            cluster.directory().resolve("bundles").resolve(name),
            new KindProgram("eventfds"),
            config -> {
              var process = (ObjectNode) config.path("process");
              ((ArrayNode) process.path("env")).add(TestCluster.MARK + "=" + cluster.directory().getFileName());
              process.putArray("args").add("/bin/echo-server");
              change.accept(config);
            });
    TestProgram.compileStatically(StreamingClient.WORKLOADS.resolve("echo.c"), bundle.directory().resolve("rootfs/bin/echo-server"));
    return bundle;
  }

  /** Adds a namespace of this type to those of a configuration. */
  static ObjectNode namespace(ObjectNode config, String type) {
    return ((ArrayNode) config.path("linux").path("namespaces")).addObject().put("type", type);
  }

  static ObjectNode request(String name, TestBundle bundle) {
    return ControlClient.request("run-bundle").put("container", name).put("id", name).put("runtime", "runc").put("bundle", bundle.directory().toString());
  }

  record Answer(int status, String output) {}

  /** Calls a node's runc where that node is. */
  Answer runc(int node, String... words) {
    var command = new ArrayList<>(host(node));
    command.addAll(List.of("runc", "--root", node(node).stateDirectory().resolve("runtime").toString()));
    command.addAll(List.of(words));
    try {
      Path output = Files.createTempFile(cluster.directory(), "runc", "");
      // Not a pipe: what runc leaves running would hold it open.
      Process process = new ProcessBuilder(command).redirectErrorStream(true).redirectInput(Path.of("/dev/null").toFile()).redirectOutput(output.toFile()).start();
      assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
      return new Answer(process.exitValue(), Files.readString(output, StandardCharsets.UTF_8));
    } catch (IOException failure) {
      throw new AssertionError("runc is needed", failure);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new AssertionError("interrupted", interrupted);
    }
  }

  /** {@code none} when a node's runc knows no such container. */
  String status(int node, String id) throws IOException {
    var answer = runc(node, "state", id);
    return answer.status == 0 ? Json.parse(answer.output).path("status").asText() : "none";
  }

  int initPid(int node, String id) throws IOException {
    return Json.parse(runc(node, "state", id).output).path("pid").asInt();
  }

  /** Moves a container away from a node; on a loaded host a move may be rolled back, which its connections survive. */
  void move(String name, int from, int tries) throws IOException {
    ObjectNode outcome = cluster.moveVerified(name, from, tries);
    assertThat(status(from, name)).isEqualTo("none");
    assertThat(status(from + 1, name)).isEqualTo("running");
    System.out.println(name + ": pause " + outcome.path("pause_ms").asDouble() + " ms");
  }

  @Override
  public void close() {
    cluster.close();
    for (Path cgroup : groups()) {
      // The node has just ended; a cgroup is free a moment later.
      await("removal of " + cgroup).atMost(END_MAX).until(() -> !Files.exists(cgroup) || cgroup.toFile().delete());
    }
  }

  private List<Path> groups() {
    try {
      return Files.readAllLines(Path.of("/proc/self/mountinfo")).stream()
          .filter(line -> line.contains(" - cgroup ") || line.contains(" - cgroup2 "))
          .map(line -> Path.of(line.split(" ")[4]).resolve(secondHost))
          .distinct()
          .toList();
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }
}
