package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/**
 * Programs of every sort move there and back three times, look at themselves without pause, and are looked at from outside before and after:
 * nobody may see anything of it but a pause. Two nodes, each in a network namespace of its own.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Tag("heavy")
class RealProgramsTest {
  private static final int MOVES = 6;

  /** Of a process that keeps its threads and descriptors but whose relatives come and go: only the first one can be compared. */
  private static final Predicate<String> FIRST_PROCESS = key -> key.startsWith("1/");

  private static final Predicate<String> FIRST_PROCESS_WITHOUT_THREADS = FIRST_PROCESS.and(key -> !key.contains("/thread "));

  private TestCluster cluster;

  @BeforeAll
  void start() throws IOException {
    cluster = TestCluster.start(TestCluster.Options.nodes(2).inNamespaces());
  }

  @AfterAll
  void end() {
    if (cluster != null) {
      cluster.close();
    }
  }

  private WatchedProgram run(String name, TestProgram program, String... arguments) {
    var watched = new WatchedProgram(program, cluster.directory().resolve(name), arguments);
    cluster.node(0).run(name, watched.command().toArray(String[]::new));
    return watched.awaitRunning();
  }

  private JsonNode whereIs(String name) {
    return cluster.node(0).container(name).orElseThrow(() -> new AssertionError(name + " is lost\n" + logs()));
  }

  private String logs() {
    return "--- n0\n" + cluster.node(0).log() + "--- n1\n" + cluster.node(1).log();
  }

  private long initPid(String name) {
    return whereIs(name).path("init_pid").asLong();
  }

  /** Moves it from wherever it is to the other node. */
  private ObjectNode move(String name) {
    int from = whereIs(name).path("node").asText().equals("n0") ? 0 : 1;
    // Both sides compare every page, so that no damage goes unseen because the program has not come to look at it; the one with a gibibyte looks at all of
    // it by itself.
    TestCluster.Node source = cluster.node(from);
    TestCluster.Node target = cluster.node(1 - from);
    ObjectNode outcome = name.equals("bytes") ? source.migrate(name, target) : source.migrateVerified(name, target);
    assertThat(outcome.path("outcome").asText()).as(outcome + "\n" + logs()).isEqualTo("completed");
    assertThat(outcome.path("from").asText()).isEqualTo("n" + from);
    assertThat(outcome.path("to").asText()).isEqualTo("n" + (1 - from));
    assertThat(outcome.path("rounds")).isNotEmpty();
    assertThat(outcome.path("pause_ms").asDouble()).isPositive().isLessThanOrEqualTo(outcome.path("total_ms").asDouble());
    await("both nodes to know where it is")
        .atMost(Duration.ofSeconds(10))
        .until(() -> List.of(0, 1).stream().allMatch(node -> at(node, name).equals("n" + (1 - from) + " running")));
    return outcome;
  }

  private String at(int node, String name) {
    return cluster.node(node).container(name).map(entry -> entry.path("node").asText() + " " + entry.path("status").asText()).orElse("nowhere");
  }

  /** Moves a program {@link #MOVES} times; its facts must stay, it must go on and find nothing wrong each time. */
  private void moveAndWatch(String name, WatchedProgram program, int moves, Predicate<String> facts) {
    var pauses = new ArrayList<String>();
    for (int i = 0; i < moves; i++) {
      program.awaitBeats(3);
      long oldPid = initPid(name);
      ContainerFacts before = ContainerFacts.of(oldPid, facts);
      ObjectNode outcome = move(name);
      program.awaitBeats(3);
      program.assertNoErrors();
      long newPid = initPid(name);
      assertThat(lasting(ContainerFacts.of(newPid, facts))).as(name + " after move " + (i + 1)).isEqualTo(lasting(before));
      assertThat(ContainerFacts.traces(newPid)).isEmpty();
      assertThat(newPid).isNotEqualTo(oldPid);
      assertThat(ContainerFacts.members(oldPid)).as("processes of the original").isEmpty();
      pauses.add(outcome.path("pause_ms").asDouble() + " (rounds " + outcome.path("rounds").size() + ", " + outcome.path("total_ms").asLong() + " in all)");
    }
    System.out.println(name + ": pauses in ms " + pauses + ", longest gap by its own clock " + program.maxGapMs() + " ms");
  }

  /** Without the descriptor through which the program writes how it is, now and then, for a moment. */
  private static Map<String, String> lasting(ContainerFacts seen) {
    var lasting = new TreeMap<String, String>(seen.facts());
    lasting.values().removeIf(fact -> fact.contains("/status.new"));
    return lasting;
  }

  private void endWell(String name, WatchedProgram program) {
    program.assertVerdictOk();
    await("its end to be known").atMost(Duration.ofSeconds(10)).until(() -> whereIs(name).path("status").asText().equals("exited"));
    assertThat(consoleOf(name)).as("its console, which has moved with it").endsWith("verdict: ok\n");
    cluster.node(0).ask(ControlClient.request("stop").put("container", name));
  }

  private String consoleOf(String name) {
    var text = new StringBuilder();
    int node = whereIs(name).path("node").asText().equals("n0") ? 0 : 1;
    cluster.node(node).ask(ControlClient.request("logs").put("container", name), piece -> text.append(piece.path("text").asText()));
    return text.toString();
  }

  @Test
  @Tag("long")
  void aProgramThatHasOneOfEverythingKeepsAllOfIt() {
    WatchedProgram program = new WatchedProgram(TestProgram.EVERYTHING, cluster.directory().resolve("everything"));
    cluster.node(0).run("everything", program.command().toArray(String[]::new));
    program.awaitRunning();
    int look = 1;
    assertThat(program.look(look)).as("before it was moved").isEmpty();
    // One thread is made anew with each look, so ids of threads are compared between a look and the next.
    for (int i = 0; i < MOVES; i++) {
      moveAndWatch("everything", program, 1, key -> true);
      look++;
      assertThat(program.look(look)).as("after move " + (i + 1)).isEmpty();
    }
    endWell("everything", program);
  }

  @Test
  @Tag("long")
  void aShellThatForksLosesNoTurn() {
    WatchedProgram program = run("forks", TestProgram.FORKS);
    moveAndWatch("forks", program, MOVES, FIRST_PROCESS.and(key -> !key.contains("/descriptor ") && !key.contains("Sig")));
    endWell("forks", program);
    assertThat(program.text("numbers").lines().map(Long::valueOf).toList())
        .as("turns of the shell")
        .isEqualTo(java.util.stream.LongStream.rangeClosed(1, program.number("beat")).boxed().toList());
  }

  @Test
  @Tag("long")
  void pythonWithAGibibyteVerifiesItself() {
    WatchedProgram program = run("bytes", TestProgram.BYTES, "1024");
    moveAndWatch("bytes", program, MOVES, key -> true);
    endWell("bytes", program);
  }

  @Test
  @Tag("long")
  void aJavaProgramWithDozensOfThreadsAndAGrowingHeapGoesOn() {
    WatchedProgram program = run("heap", TestProgram.HEAP, "384", "36");
    moveAndWatch("heap", program, MOVES, FIRST_PROCESS_WITHOUT_THREADS);
    assertThat(program.number("threads")).isGreaterThan(36);
    endWell("heap", program);
  }

  @Test
  @Tag("long")
  void fiveHundredThreadsInFutexesWaitOn() {
    WatchedProgram program = run("futex", TestProgram.FUTEX, "500");
    moveAndWatch("futex", program, MOVES, key -> true);
    assertThat(program.number("threads")).isGreaterThanOrEqualTo(500);
    endWell("futex", program);
  }

  @Test
  @Tag("long")
  void processesThatShareMemoryShareItAfterwards() {
    WatchedProgram program = run("prefork", TestProgram.PREFORK, "192", "64", "8");
    // Every child has by then written the pages that it ever writes.
    await().atMost(Duration.ofSeconds(30)).until(() -> program.number("answered") > 3000);
    for (int i = 0; i < MOVES; i++) {
      long before = grownBytes("prefork");
      moveAndWatch("prefork", program, 1, FIRST_PROCESS);
      long after = ContainerFacts.proportionalBytes(initPid("prefork"));
      System.out.println("prefork: " + (before >> 20) + " MiB resident before, " + (after >> 20) + " MiB after");
      assertThat(after).as("resident memory with what is shared counted once").isLessThanOrEqualTo(before * 11 / 10);
    }
    endWell("prefork", program);
  }

  /** What it holds once it does not grow any more. */
  private long grownBytes(String container) {
    long[] last = {0};
    await()
        .atMost(Duration.ofSeconds(60))
        .pollInterval(Duration.ofSeconds(1))
        .until(
            () -> {
              long before = last[0];
              last[0] = ContainerFacts.proportionalBytes(initPid(container));
              return last[0] - before < last[0] / 100;
            });
    return last[0];
  }

  @Test
  @Tag("long")
  void aProgramThatChangesItsMappingsThreadsAndChildrenAllTheTimeCanBeFollowed() {
    WatchedProgram program = run("churn", TestProgram.CHURN, "128");
    moveAndWatch("churn", program, MOVES, FIRST_PROCESS_WITHOUT_THREADS);
    endWell("churn", program);
  }
}
