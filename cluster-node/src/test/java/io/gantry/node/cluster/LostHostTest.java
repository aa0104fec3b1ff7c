package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A host is lost at the commit of a real move, and the other goes on because it is told that that host is off. */
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
        JsonNode back = destination.migrate("web", source);
        assertThat(back.path("outcome").asText()).as(back.toString()).isEqualTo("completed");
        pid = source.container("web").orElseThrow().path("init_pid").asLong();
      }
    }
    throw new AssertionError("in " + TRIES_MAX + " tries the destination was never killed between RELEASED and Activated");
  }

  private static void awaitStatus(TestCluster.Node asked, String status) {
    await()
        .atMost(Duration.ofSeconds(40))
        .until(() -> statusAt(asked).equals(status));
  }

  /** @param where index of the node that has it; the other one has nothing of it left */
  private static void awaitRunningOnlyOn(TestCluster cluster, int where, long pid, long epochMin) {
    for (int i = 0; i < 2; i++) {
      TestCluster.Node asked = cluster.node(i);
      await()
          .atMost(Duration.ofSeconds(40))
          .untilAsserted(
              () -> {
                assertThat(asked.container("web")).as("known").isPresent();
                JsonNode known = asked.container("web").get();
                assertThat(known.path("node").asText()).isEqualTo("n" + where);
                assertThat(known.path("status").asText()).isEqualTo("running");
                assertThat(known.path("epoch").asLong()).isGreaterThanOrEqualTo(epochMin);
                assertThat(known.path("init_pid").asLong()).isEqualTo(pid);
              });
    }
    TestCluster.Node other = cluster.node(1 - where);
    Path left = other.stateDirectory().resolve("containers/web");
    await().atMost(Duration.ofSeconds(20)).until(() -> Files.notExists(left));
    assertThat(cluster.node(where).migrate("web", other).path("outcome").asText())
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
                assertThat(resolved.status()).as(resolved.said()).isZero();
                assertThat(resolved.json().path("node").asText()).isEqualTo("n0");
              });
      cluster.node(1).start();
      cluster.awaitReachable(2);
      awaitRunningOnlyOn(cluster, 0, pid, 3);
    }
  }

  /** Moves until the source was killed at a moment at which the destination has a complete copy and no word that it may run. */
  private static void moveIntoHeld(TestCluster cluster) {
    TestCluster.Node source = cluster.node(0);
    TestCluster.Node destination = cluster.node(1);
    source.run("web", "sleep", "600");
    for (int i = 0; i < TRIES_MAX; i++) {
      var killed = new AtomicBoolean();
      try {
        source.ask(
            ControlClient.request("migrate").put("container", "web").put("to", "n1").put("deadline_ms", 30_000),
            progress -> {
              if (progress.path("phase").asText().equals("Releasing") && killed.compareAndSet(false, true)) {
                source.kill();
              }
            });
      } catch (CommandException died) {
        assertThat(killed).as("the source answers unless it was killed: " + died.getMessage()).isTrue();
      }
      await("the destination's word").atMost(Duration.ofSeconds(40)).until(() -> List.of("held", "running").contains(statusAt(destination)));
      if (statusAt(destination).equals("held")) {
        return;
      }
      // It was released before it was killed. Back, and once more.
      if (!source.isAlive()) {
        source.start();
        cluster.awaitReachable(2);
      }
      await().atMost(Duration.ofSeconds(40)).until(() -> statusAt(source).equals("running") && statusAt(destination).equals("running"));
      if (source.container("web").orElseThrow().path("node").asText().equals("n1")) {
        JsonNode back = destination.migrate("web", source);
        assertThat(back.path("outcome").asText()).as(back.toString()).isEqualTo("completed");
      }
    }
    throw new AssertionError("in " + TRIES_MAX + " tries the source was never killed between Ready and RELEASED");
  }

  /** Empty while it does not answer: a node that is left alone in its cluster starts its actors anew. */
  private static String statusAt(TestCluster.Node asked) {
    try {
      return asked.container("web").map(known -> known.path("status").asText()).orElse("");
    } catch (CommandException busy) {
      return "";
    }
  }

  @Test
  void aPersonLetsAHeldCopyRunAndTheHostThatComesBackGivesItsOriginalUp() throws IOException {
    try (var cluster = TestCluster.start(TestCluster.Options.nodes(2).withoutRehearsal())) {
      moveIntoHeld(cluster);
      TestCluster.Node destination = cluster.node(1);
      await()
          .atMost(Duration.ofSeconds(30))
          .untilAsserted(
              () -> {
                TestCluster.Result resolved = destination.cli("resolve", "--json", "web", "--host-is-off", "n0", "--yes");
                assertThat(resolved.status()).as(resolved.said()).isZero();
                assertThat(resolved.json().path("node").asText()).isEqualTo("n1");
              });
      awaitStatus(destination, "running");
      long copy = destination.container("web").orElseThrow().path("init_pid").asLong();
      assertThat(ProcessHandle.of(copy)).isPresent();
      // The destination, left alone, waits for a node that it may join: they must not wait for each other.
      cluster.node(0).startAsBefore();
      cluster.awaitReachable(2);
      awaitRunningOnlyOn(cluster, 1, copy, 2);
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
      awaitRunningOnlyOn(cluster, 0, pid, 3);
    }
  }
}
