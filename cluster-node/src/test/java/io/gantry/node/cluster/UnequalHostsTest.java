package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.node.ExitCode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** Hosts that were started at different times and set up differently. */
@Tag("long")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class UnequalHostsTest {
  private static final KindProgram CLOCKS = new KindProgram("clocks");
  /** Belongs to a network namespace, and so to one of the nodes alone. */
  private static final String SETTING = "net.core.somaxconn";

  private TestCluster cluster;

  @BeforeAll
  void start() throws IOException, InterruptedException {
    cluster = TestCluster.start(TestCluster.Options.nodes(2).inNamespaces().withOtherUptimes().withoutRehearsal());
    set(0, 4321);
    set(1, 4321);
  }

  @AfterAll
  void stop() {
    cluster.close();
  }

  @Test
  void theClocksOfAContainerGoOnOnAHostWithAnotherUptime() {
    for (int first = 0; first < 2; first++) {
      String name = "born-" + first;
      var program = new WatchedProgram(CLOCKS, cluster.directory().resolve(name));
      cluster.node(first).run(name, program.command().toArray(String[]::new));
      program.awaitRunning();
      assertThat(program.look(1)).as("before it was moved").isEmpty();
      for (int move = 1; move <= 3; move++) {
        var source = cluster.node((first + move + 1) % 2);
        var destination = cluster.node((first + move) % 2);
        var outcome = source.migrateVerified(name, destination);
        assertThat(outcome.path("outcome").asText()).as(outcome + "\n" + source.log() + destination.log()).isEqualTo("completed");
        assertThat(program.look(1 + move)).as("after move " + move).isEmpty();
      }
      program.assertVerdictOk();
    }
  }

  @Test
  void whatDiffersIsShownBeforeAMoveAndToldAfterIt() throws IOException, InterruptedException {
    var equal = cluster.node(0).cli("check", "--against", "n1", "--json");
    assertThat(equal.status()).as(equal.out()).isZero();
    assertThat(equal.json().path("rows")).hasSizeGreaterThan(25).allMatch(row -> row.path("verdict").asText().equals("fits"));
    set(1, 77);
    try {
      var differs = cluster.node(0).cli("check", "--against", "n1");
      assertThat(differs.status()).as(differs.out()).isZero();
      assertThat(differs.out()).containsPattern("net\\.core\\.somaxconn +4321 +77 +warns").contains("Containers of n0 can run on n1.");
      cluster.node(0).run("sleeper", "sleep", "600");
      assertThat(cluster.node(0).migrate("sleeper", cluster.node(1)).path("warnings"))
          .singleElement()
          .satisfies(warning -> assertThat(warning.asText()).contains(SETTING, "4321 on the source, 77 here"));
      // A larger value is as good, so the way back tells nothing.
      assertThat(cluster.node(1).migrate("sleeper", cluster.node(0)).path("warnings")).isEmpty();
      assertThat(cluster.node(0).cli("check", "--against", "nowhere").status()).isEqualTo(ExitCode.NOT_FOUND.status());
      assertThat(cluster.node(0).cli("check", "--against", "n0").status()).isEqualTo(ExitCode.USAGE.status());
    } finally {
      set(1, 4321);
    }
  }

  private void set(int node, int value) throws IOException, InterruptedException {
    var command = new ArrayList<>(cluster.node(node).enter());
    command.addAll(List.of("sh", "-c", "echo " + value + " > /proc/sys/net/core/somaxconn"));
    assertThat(new ProcessBuilder(command).inheritIO().start().waitFor()).isZero();
  }
}
