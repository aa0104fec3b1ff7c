package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The destination is lost at the commit of a real move, and the source goes on because it is told that that host is off. */
@Tag("long")
class LostHostTest {
  private static final int TRIES_MAX = 8;

  @TempDir private Path directory;

  /** Moves until the destination was killed at a moment at which the source cannot know what became of the move. */
  private static long moveIntoDoubt(TestCluster cluster) {
    TestCluster.Node source = cluster.node(0);
    TestCluster.Node destination = cluster.node(1);
    long pid = source.run("web", "sleep", "600").path("init_pid").asLong();
    for (int i = 0; i < TRIES_MAX; i++) {
      ObjectNode request = ControlClient.request("migrate").put("container", "web").put("to", "n1").put("deadline_ms", 30_000);
      ObjectNode outcome =
          source.ask(
              request,
              progress -> {
                if (progress.path("phase").asText().equals("Releasing")) {
                  destination.kill();
                }
              });
      if (outcome.path("outcome").asText().equals("in-doubt")) {
        assertThat(ProcessHandle.of(pid)).as("the frozen original").isPresent();
        return pid;
      }
      if (!destination.isAlive()) {
        destination.start();
        cluster.awaitReachable(2);
      }
      awaitStatus(source, "running");
      if (source.container("web").orElseThrow().path("node").asText().equals("n1")) {
        assertThat(destination.migrate("web", source).path("outcome").asText()).isEqualTo("completed");
        pid = source.container("web").orElseThrow().path("init_pid").asLong();
      }
    }
    throw new AssertionError("in " + TRIES_MAX + " tries the destination was never killed between RELEASED and Activated");
  }

  private static void awaitStatus(TestCluster.Node asked, String status) {
    await()
        .atMost(Duration.ofSeconds(40))
        .until(() -> asked.container("web").map(known -> known.path("status").asText()).orElse("").equals(status));
  }

  private static void awaitRunningOnlyAtTheSource(TestCluster cluster, long pid) {
    for (int i = 0; i < 2; i++) {
      TestCluster.Node asked = cluster.node(i);
      await()
          .atMost(Duration.ofSeconds(40))
          .untilAsserted(
              () -> {
                JsonNode known = asked.container("web").orElseThrow();
                assertThat(known.path("node").asText()).isEqualTo("n0");
                assertThat(known.path("status").asText()).isEqualTo("running");
                assertThat(known.path("epoch").asLong()).isGreaterThanOrEqualTo(3);
                assertThat(known.path("init_pid").asLong()).isEqualTo(pid);
              });
    }
    Path left = cluster.node(1).stateDirectory().resolve("containers/web");
    await().atMost(Duration.ofSeconds(20)).until(() -> Files.notExists(left));
    assertThat(cluster.node(0).migrate("web", cluster.node(1)).path("outcome").asText())
        .as("it can be moved there again")
        .isEqualTo("completed");
  }

  @Test
  void aPersonLetsTheContainerRunOnAndTheHostThatComesBackGivesWay() throws IOException {
    try (var cluster = TestCluster.start(TestCluster.Options.nodes(2).withoutRehearsal())) {
      long pid = moveIntoDoubt(cluster);
      TestCluster.Node source = cluster.node(0);
      awaitStatus(source, "in-doubt");
      TestCluster.Result late = source.cli("cancel", "--json", "web");
      assertThat(late.status()).isEqualTo(ExitCode.CONFLICT.status());
      assertThat(late.json().at("/error/message").asText()).contains("has passed its commit");
      TestCluster.Result wrong = source.cli("resolve", "--json", "web", "--host-is-off", "n7", "--yes");
      assertThat(wrong.status()).isEqualTo(ExitCode.CONFLICT.status());
      assertThat(wrong.json().at("/error/message").asText()).contains("n1", "n7");
      await()
          .atMost(Duration.ofSeconds(30))
          .untilAsserted(
              () -> {
                TestCluster.Result resolved = source.cli("resolve", "--json", "web", "--host-is-off", "n1", "--yes");
                assertThat(resolved.status()).as(resolved.err()).isZero();
                assertThat(resolved.json().path("node").asText()).isEqualTo("n0");
              });
      cluster.node(1).start();
      cluster.awaitReachable(2);
      awaitRunningOnlyAtTheSource(cluster, pid);
    }
  }

  @Test
  void aFencingCommandLetsTheContainerRunOn() throws IOException {
    Path script = Files.writeString(directory.resolve("fence"), "#!/bin/sh\necho \"$@\" > " + directory.resolve("called") + "\n");
    Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwx------"));
    Path config =
        Files.writeString(
            directory.resolve("gantry.conf"),
            "gantry { fencing-command = [\"" + script + "\", \"{node}\", \"{address}\"],"
                + " fencing-after = 2s, fencing-deadline = 10s }");
    var options = new TestCluster.Options(2, false, false, List.of("--no-rehearsal", "--config", config.toString()));
    try (var cluster = TestCluster.start(options)) {
      long pid = moveIntoDoubt(cluster);
      awaitStatus(cluster.node(0), "running");
      assertThat(Files.readString(directory.resolve("called"))).isEqualTo("n1 " + TestCluster.loopback(3) + "\n");
      cluster.node(1).start();
      cluster.awaitReachable(2);
      awaitRunningOnlyAtTheSource(cluster, pid);
    }
  }
}
