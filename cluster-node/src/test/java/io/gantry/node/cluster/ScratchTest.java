package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ScratchTest {
  @Test
  void stress() throws Exception {
    var which = TestProgram.valueOf(System.getProperty("scratch.program", "CHURN"));
    String[] arguments = System.getenv("SCRATCH_ARGS") == null ? new String[0] : System.getenv("SCRATCH_ARGS").split(" ");
    int moves = Integer.getInteger("scratch.moves", 40);
    try (var cluster = TestCluster.start(TestCluster.Options.nodes(2).inNamespaces().withoutRehearsal())) {
      var program = new WatchedProgram(which, cluster.directory().resolve("p"), arguments);
      cluster.node(0).run("p", program.command().toArray(String[]::new));
      program.awaitRunning();
      int at = 0;
      int bad = 0;
      for (int i = 0; i < moves; i++) {
        program.awaitBeats(3);
        long old = cluster.node(at).container("p").orElseThrow().path("init_pid").asLong();
        var outcome = cluster.node(at).ask(io.gantry.node.control.ControlClient.request("migrate").put("container", "p").put("to", "n" + (1 - at)).put("deadline_ms", 60_000).put("verify", Boolean.getBoolean("scratch.verify")));
        System.out.println(i + " " + outcome.path("outcome").asText() + " " + outcome.path("pause_ms") + " " + outcome.path("rounds").size() + " " + outcome.path("reason").asText());
        if (outcome.path("outcome").asText().equals("completed")) {
          at = 1 - at;
          if (!ContainerFacts.members(old).isEmpty()) System.out.println("left: " + ContainerFacts.members(old));
        } else bad++;
        System.out.println("old " + old + " new " + cluster.node(at).container("p").map(e -> e.path("init_pid").asText()));
        program.awaitBeats(3);
        if (!program.text("errors").isEmpty()) {
          System.out.println(program.text("errors").lines().limit(5).toList());
          var st = new ProcessBuilder("stat", "-c", "born %w", program.directory().resolve("errors").toString()).start();
          System.out.println(new String(st.getInputStream().readAllBytes()));
          System.out.println(cluster.node(0).log() + "\n" + cluster.node(1).log());
          throw new AssertionError("errors after move " + i);
        }
      }
      program.assertVerdictOk();
      assertThat(bad).isZero();
    }
  }
}
