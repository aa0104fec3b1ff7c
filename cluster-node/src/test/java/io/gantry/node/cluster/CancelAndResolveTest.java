package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.util.ArrayList;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** {@code gantry cancel} and {@code gantry resolve} on two real nodes, asked of the one on which the container is not. */
@Tag("long")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class CancelAndResolveTest {
  private TestCluster cluster;

  @BeforeAll
  void start() throws IOException {
    cluster = TestCluster.start(TestCluster.Options.nodes(2).withoutRehearsal());
    cluster.node(0).run("big", "sh", "-c", "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ready; sleep 600");
    cluster.node(0).run("small", "sleep", "600");
    for (int i = 0; i < 2; i++) {
      var asked = cluster.node(i);
      org.awaitility.Awaitility.await()
          .atMost(java.time.Duration.ofSeconds(60))
          .until(() -> asked.container("small").isPresent() && asked.cli("logs", "big").out().contains("ready"));
    }
  }

  @AfterAll
  void stop() {
    cluster.close();
  }

  private JsonNode big() {
    return cluster.node(0).container("big").orElseThrow();
  }

  @Test
  void aMoveIsCalledOffFromTheOtherNodeAndTheContainerRunsOn() {
    long pid = big().path("init_pid").asLong();
    var cancels = new ArrayList<TestCluster.Result>();
    ObjectNode request = ControlClient.request("migrate").put("container", "big").put("to", "n1").put("deadline_ms", 60_000);
    ObjectNode outcome =
        cluster.node(0)
            .ask(
                request,
                progress -> {
                  if (progress.path("phase").asText().equals("PreCopying") && cancels.isEmpty()) {
                    ObjectNode reply = cluster.node(1).ask(ControlClient.request("cancel").put("container", "big"));
                    cancels.add(new TestCluster.Result(0, reply.toString(), ""));
                  }
                });
    assertThat(cancels).singleElement().satisfies(cancel -> assertThat(cancel.json().path("cancelled").asBoolean()).isTrue());
    assertThat(outcome.path("outcome").asText()).isEqualTo("rolled-back");
    assertThat(outcome.path("reason").asText()).contains("cancelled");
    assertThat(big().path("status").asText()).isEqualTo("running");
    assertThat(big().path("init_pid").asLong()).isEqualTo(pid);
  }

  @Test
  void whatCannotBeCalledOffIsAConflictAndWhatIsUnknownIsNotFound() {
    TestCluster.Result still = cluster.node(1).cli("cancel", "--json", "small");
    assertThat(still.status()).isEqualTo(ExitCode.CONFLICT.status());
    assertThat(still.json().at("/error/message").asText()).contains("small", "is in no move");
    assertThat(cluster.node(1).cli("cancel", "--json", "nobody").status()).isEqualTo(ExitCode.NOT_FOUND.status());
  }

  @Test
  void whatIsNotInDoubtIsNotResolvedAndWithoutATerminalYesIsNeeded() {
    TestCluster.Result still = cluster.node(1).cli("resolve", "--json", "small", "--host-is-off", "n1", "--yes");
    assertThat(still.status()).isEqualTo(ExitCode.CONFLICT.status());
    assertThat(still.json().at("/error/message").asText()).contains("small", "is not in doubt");
    TestCluster.Result own = cluster.node(1).cli("resolve", "--json", "small", "--host-is-off", "n0", "--yes");
    assertThat(own.status()).isEqualTo(ExitCode.CONFLICT.status());
    assertThat(own.json().at("/error/message").asText()).contains("is on node n0 itself");
    assertThat(cluster.node(1).cli("resolve", "--json", "nobody", "--host-is-off", "n0", "--yes").status())
        .isEqualTo(ExitCode.NOT_FOUND.status());
    TestCluster.Result unasked = cluster.node(1).cli("resolve", "--json", "small", "--host-is-off", "n1");
    assertThat(unasked.status()).isEqualTo(ExitCode.USAGE.status());
    assertThat(unasked.json().at("/error/message").asText()).contains("--yes");
  }
}
