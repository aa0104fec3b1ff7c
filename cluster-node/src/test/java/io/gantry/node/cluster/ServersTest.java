package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Servers as Debian ships them, each in a container with clients that load it, move three times under that load. The clients check every answer, keep
 * their connections, and at the end compare what they were told with what is there.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Tag("long")
@Tag("heavy")
class ServersTest {
  private static final int MOVES = 3;

  private TestCluster cluster;

  @BeforeAll
  void start() throws IOException {
    cluster = TestCluster.start(TestCluster.Options.nodes(2).inNamespaces().withoutRehearsal());
  }

  @AfterAll
  void end() {
    if (cluster != null) {
      cluster.close();
    }
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"postgres", "nginx", "memcached", "node", "golang", "make", "tmux"})
  void goesOnUnderLoad(String name) {
    var server = new ServerProgram(name);
    var program = new WatchedProgram(server, cluster.directory().resolve(name));
    cluster.node(0).run(name, program.command().toArray(String[]::new));
    program.awaitRunning(ServerProgram.READY_MAX);
    var pauses = new ArrayList<String>();
    for (int move = 0; move < MOVES; move++) {
      awaitAnswers(program, name);
      TestCluster.Node source = cluster.node(move % 2);
      TestCluster.Node destination = cluster.node((move + 1) % 2);
      ObjectNode outcome = source.migrateVerified(name, destination);
      assertThat(outcome.path("outcome").asText()).as(outcome + "\n" + source.log() + destination.log()).isEqualTo("completed");
      pauses.add(outcome.path("pause_ms").asDouble() + " (rounds " + outcome.path("rounds").size() + ", " + outcome.path("total_ms").asLong() + " in all)");
      program.assertNoErrors();
    }
    awaitAnswers(program, name);
    program.assertVerdictOk();
    System.out.println(name + ": pauses in ms " + pauses + ", " + program.number("done") + " answers");
    TestCluster.Node last = cluster.node(MOVES % 2);
    await("its end to be known")
        .atMost(Duration.ofSeconds(20))
        .until(() -> last.container(name).map(entry -> entry.path("status").asText().equals("exited")).orElse(false));
    last.ask(ControlClient.request("stop").put("container", name));
  }

  /** Load is only load while it gets answers. */
  private static void awaitAnswers(WatchedProgram program, String name) {
    long before = program.number("done");
    await("answers of " + name).atMost(Duration.ofSeconds(60)).until(() -> {
      program.assertNoErrors();
      return program.number("done") > before;
    });
  }
}
