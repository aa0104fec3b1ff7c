package io.gantry.node.demo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.node.CommandProcess;
import io.gantry.node.ExitCode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Commands that start nodes of their own, as people meet them: what they print, and that they leave nothing behind whatever happens to them. */
@Tag("long")
@Tag("alone")
class DemoTest {
  private static final Duration LONGEST = Duration.ofMinutes(2);

  @TempDir Path directory;

  private Set<String> before;

  @BeforeEach
  void look() throws IOException {
    before = things();
  }

  @AfterEach
  void nothingIsLeft() {
    await("everything to be gone")
        .atMost(Duration.ofSeconds(30))
        .untilAsserted(
            () -> {
              var left = things();
              left.removeAll(before);
              assertThat(left).as("left behind").isEmpty();
            });
  }

  /** Processes of such commands, their cgroups, buffers and directories. */
  private static Set<String> things() throws IOException {
    var found = new TreeSet<String>();
    add(found, Cgroup.mountPoint().resolve("gantry"), "");
    add(found, Path.of("/dev/shm"), "gantry-");
    add(found, Path.of(System.getProperty("java.io.tmpdir")), "gantry-");
    for (ProcessHandle process : ProcessHandle.allProcesses().toList()) {
      try {
        String environment = new String(Files.readAllBytes(Path.of("/proc/" + process.pid() + "/environ")), StandardCharsets.ISO_8859_1);
        String command = new String(Files.readAllBytes(Path.of("/proc/" + process.pid() + "/cmdline")), StandardCharsets.ISO_8859_1);
        if (environment.contains("\0" + LocalCluster.MARK + "=") || command.contains("\0--temporary-for\0")) {
          found.add("process " + process.pid());
        }
      } catch (IOException gone) {
        // It is none of those that stay.
      }
    }
    return found;
  }

  private static void add(Set<String> found, Path parent, String prefix) throws IOException {
    if (Files.isDirectory(parent)) {
      try (Stream<Path> entries = Files.list(parent)) {
        entries.filter(entry -> entry.getFileName().toString().startsWith(prefix) && Files.isDirectory(entry)).forEach(entry -> found.add(entry.toString()));
      }
    }
  }

  @Test
  void demoMovesThereAndBackAndTellsThePriceOfEachMove() throws Exception {
    CommandProcess demo = CommandProcess.start(directory, "demo", "--json", "--memory", "128M", "--moves", "2");
    assertThat(demo.await(LONGEST)).as(demo.err()).isZero();
    JsonNode said = demo.json();
    assertThat(said.path("ok").asBoolean()).isTrue();
    assertThat(said.path("moves")).hasSize(2);
    for (JsonNode move : said.path("moves")) {
      assertThat(move.path("outcome").asText()).isEqualTo("completed");
      assertThat(move.path("rounds")).isNotEmpty();
      assertThat(move.at("/rounds/0/pages").asLong()).isGreaterThan((128 << 20) / 4096 - 1000);
      assertThat(move.path("bytes_sent").asLong()).isGreaterThan(128L << 20);
      assertThat(move.path("program_pause_ms").asDouble()).isPositive().isLessThan(5000);
      double parts = 0;
      for (String part : new String[] {"freeze", "last_pages", "state", "transfer", "recreate", "commit", "resume"}) {
        assertThat(move.path("phases_ms").path(part).isNumber()).as(part).isTrue();
        parts += move.path("phases_ms").path(part).asDouble();
      }
      assertThat(parts).as("the parts of the pause together").isPositive().isLessThanOrEqualTo(move.path("pause_ms").asDouble() * 1.05 + 1);
    }
    assertThat(said.at("/moves/0/to").asText()).isEqualTo(said.at("/moves/1/from").asText());
    assertThat(said.at("/workload/checks").asLong()).isGreaterThan((128 << 20) / 4096);
    assertThat(said.at("/workload/errors").asLong()).isZero();
    assertThat(said.at("/workload/max_gap_ms").asDouble()).isPositive();
  }

  @ParameterizedTest
  @ValueSource(strings = {"INT", "KILL"})
  void aDemoThatIsEndedInTheMiddleOfAMoveLeavesNothing(String signal) throws Exception {
    CommandProcess demo = CommandProcess.start(directory, "demo", "--memory", "256M", "--moves", "1000");
    await("a move").atMost(LONGEST).until(() -> demo.out().contains("move 2:") || !demo.process().isAlive());
    assertThat(demo.process().isAlive()).as(demo.err()).isTrue();
    demo.signal(signal);
    int status = demo.await(Duration.ofSeconds(30));
    if (signal.equals("INT")) {
      assertThat(status).isEqualTo(ExitCode.INTERRUPTED.status());
    }
  }

  @Test
  void benchReportsPausesAndTheRawStreamOfTheSameRun() throws Exception {
    CommandProcess bench = CommandProcess.start(directory, "bench", "pause", "--json", "--sizes", "64M", "--moves", "3");
    assertThat(bench.await(LONGEST)).as(bench.err()).isZero();
    JsonNode said = bench.json();
    assertThat(said.path("results")).hasSize(1);
    JsonNode result = said.at("/results/0");
    assertThat(result.path("size_bytes").asLong()).isEqualTo(64L << 20);
    assertThat(result.path("moves").asInt()).isEqualTo(3);
    assertThat(result.at("/pause_ms/p50").asDouble()).isPositive().isLessThanOrEqualTo(result.at("/pause_ms/max").asDouble());
    assertThat(result.path("raw_stream_bytes_per_s").asLong()).isPositive();
    assertThat(result.path("throughput_bytes_per_s").asLong()).isPositive();
    assertThat(result.path("bytes_sent").asLong()).isGreaterThan(64L << 20);
    assertThat(result.path("criu_pause_ms").isNull()).as("CRIU was not asked for").isTrue();
    assertThat(said.at("/idle/ratio").asDouble()).as("bytes sent for an idle program, of its memory").isPositive().isLessThan(1.05);
  }

  @Test
  void withoutRootItSaysSoAndStartsNothing() throws Exception {
    // Somebody else, who may however read the classes wherever they are.
    var nobody =
        List.of(
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search");
    CommandProcess demo = CommandProcess.start(directory, nobody, "demo", "--json");
    assertThat(demo.await(Duration.ofSeconds(30))).isEqualTo(ExitCode.NOT_ROOT.status());
    assertThat(demo.json().at("/error/code").asText()).isEqualTo("not-root");
    assertThat(demo.json().at("/error/message").asText()).contains("needs root", "sudo");
  }
}
