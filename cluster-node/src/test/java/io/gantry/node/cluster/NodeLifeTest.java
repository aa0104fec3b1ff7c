package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import io.gantry.node.ExitCode;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** One node as people meet it: through the command line, as processes of their own. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class NodeLifeTest {
  private TestCluster cluster;
  private TestCluster.Node node;

  @BeforeAll
  void start() throws IOException {
    cluster = TestCluster.start(TestCluster.Options.nodes(1).withoutRehearsal());
    node = cluster.node(0);
  }

  @AfterAll
  void stop() {
    cluster.close();
  }

  @Test
  void stateDirectoryAndSocketBelongToTheOwnerAlone() throws IOException {
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(node.stateDirectory()))).isEqualTo("rwx------");
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(node.stateDirectory().resolve("gantry.sock")))).isEqualTo("rw-------");
  }

  @Test
  void aContainerIsStartedListedReadAndEnded() {
    TestCluster.Result run = node.cli("run", "--json", "--name", "greeter", "--", "sh", "-c", "echo hello; exec sleep 600");
    assertThat(run.status()).as(run.said()).isZero();
    assertThat(run.json().path("node").asText()).isEqualTo("n0");
    long pid = run.json().path("init_pid").asLong();
    assertThat(ProcessHandle.of(pid)).isPresent();
    assertThat(node.cli("ps", "--json").json().at("/containers/0/name").asText()).isEqualTo("greeter");
    await().atMost(Duration.ofSeconds(10)).untilAsserted(() -> assertThat(node.cli("logs", "greeter").out()).isEqualTo("hello\n"));
    TestCluster.Result taken = node.cli("run", "--json", "--name", "greeter", "--", "true");
    assertThat(taken.status()).isEqualTo(ExitCode.CONFLICT.status());
    assertThat(taken.json().at("/error/message").asText()).contains("greeter");
    assertThat(node.cli("migrate", "--json", "greeter", "--to", "nowhere").status()).isEqualTo(ExitCode.NOT_FOUND.status());
    assertThat(node.cli("migrate", "--json", "greeter", "--to", "n0").json().at("/error/message").asText()).contains("greeter", "n0");
    assertThat(node.cli("stop", "--json", "greeter").json().path("stopped").asBoolean()).isTrue();
    awaitGone(pid);
    assertThat(node.container("greeter")).isEmpty();
  }

  @Test
  void whatIsUnknownIsSaid() {
    for (String[] words : new String[][] {{"stop", "--json", "nobody"}, {"logs", "--json", "nobody"}, {"migrate", "--json", "nobody", "--to", "n0"}}) {
      TestCluster.Result result = node.cli(words);
      assertThat(result.status()).isEqualTo(ExitCode.NOT_FOUND.status());
      assertThat(result.json().at("/error/message").asText()).contains("nobody");
    }
    TestCluster.Result program = node.cli("run", "--json", "--name", "c", "--", "no-such-program");
    assertThat(program.status()).isEqualTo(ExitCode.NOT_FOUND.status());
    assertThat(program.json().at("/error/message").asText()).contains("no-such-program", "PATH");
    assertThat(node.container("c")).isEmpty();
  }

  @Test
  void aSecondNodeOnTheSameStateDirectoryIsToldTheFirstOnesProcess() {
    TestCluster.Result second =
        node.cli("node", "--json", "--name", "other", "--bind", TestCluster.loopback(77), "--state-dir", node.stateDirectory().toString());
    assertThat(second.status()).isEqualTo(ExitCode.CONFLICT.status());
    assertThat(second.json().at("/error/message").asText()).contains("process " + node.pid(), "--state-dir");
    assertThat(node.isAlive()).isTrue();
  }

  @Test
  void aPortInUseIsNamedAndNothingIsLeft() throws IOException {
    try (var taken = new ServerSocket(0, 1, InetAddress.getByName(TestCluster.loopback(78)))) {
      Path state = cluster.directory().resolve("elsewhere");
      TestCluster.Result result =
          node.cli(
              "node", "--json", "--name", "other", "--bind", TestCluster.loopback(78), "--port", Integer.toString(taken.getLocalPort()), "--state-dir",
              state.toString());
      assertThat(result.status()).isEqualTo(ExitCode.CONFLICT.status());
      assertThat(result.json().at("/error/message").asText()).contains("TCP port " + taken.getLocalPort(), "--port");
    }
  }

  @Test
  void anAddressOfSomebodyElseAndAStateDirectoryThatCannotBeAreUsageErrors() {
    TestCluster.Result address =
        node.cli("node", "--json", "--name", "o", "--bind", "192.0.2.1", "--state-dir", cluster.directory().resolve("s").toString());
    assertThat(address.status()).isEqualTo(ExitCode.USAGE.status());
    assertThat(address.json().at("/error/message").asText()).contains("192.0.2.1");
    TestCluster.Result directory = node.cli("node", "--json", "--name", "o", "--bind", TestCluster.loopback(79), "--state-dir", "/proc/gantry");
    assertThat(directory.status()).isEqualTo(ExitCode.USAGE.status());
  }

  @Test
  void aContainerRunsOnWithoutItsNodeAndIsTakenUpAgain() {
    JsonNode run = node.run("steady", "sleep", "600");
    long pid = run.path("init_pid").asLong();
    node.terminate();
    assertThat(ProcessHandle.of(pid)).as("a clean end leaves it running").isPresent();
    node.start();
    awaitRunning("steady", pid);
    node.kill();
    assertThat(ProcessHandle.of(pid)).as("a killed node leaves it running").isPresent();
    node.start();
    awaitRunning("steady", pid);
    node.cli("stop", "steady");
    awaitGone(pid);
  }

  /** Ended; after a restart it is for the host's own init to reap it, which may take a moment. */
  private static void awaitGone(long pid) {
    await()
        .atMost(Duration.ofSeconds(5))
        .untilAsserted(
            () -> {
              Path stat = Path.of("/proc/" + pid + "/stat");
              if (Files.exists(stat)) {
                assertThat(Files.readString(stat)).as("its state").contains(") Z ");
              }
            });
  }

  private void awaitRunning(String container, long pid) {
    await()
        .atMost(Duration.ofSeconds(20))
        .untilAsserted(
            () -> {
              // A node that has just been started takes up its containers one after the other.
              assertThat(node.container(container)).as(container).isPresent();
              JsonNode known = node.container(container).get();
              assertThat(known.path("status").asText()).isEqualTo("running");
              assertThat(known.path("init_pid").asLong()).isEqualTo(pid);
            });
  }
}
