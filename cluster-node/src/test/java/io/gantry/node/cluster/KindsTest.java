package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.checkpoint.ContainerSpec;
import io.gantry.checkpoint.LiveEngine;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Kind by kind: a program that has kernel objects of one kind, in all their forms, moves between two nodes and through images, and looks at them from
 * inside. {@link KindProgram} says how one more is added; {@code -Dgantry.test.kind=NAME,NAME} runs only those.
 */
@Tag("heavy")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class KindsTest {
  private static final Duration END_MAX = Duration.ofSeconds(10);
  private static final Duration DAMAGE_MAX = Duration.ofSeconds(120);

  /** There, and back to a node that has seen the program before. */
  private static final int MOVES = 2;

  /** Programs that are damaged at the same time. */
  private static final int AT_A_TIME = 4;

  @TempDir static Path scratch;

  /** For {@code hugetlb}, which has ten, and may move, be in images and be damaged four times over at the same moment. */
  private static final int HUGE_PAGES = 72;

  private TestCluster cluster;
  private HugePageReserve hugePages;

  static Stream<KindProgram> programs() {
    String only = System.getProperty("gantry.test.kind", "");
    return KindProgram.all().stream().filter(program -> only.isEmpty() || java.util.List.of(only.split(",")).contains(program.name()));
  }

  @BeforeAll
  void start() throws IOException {
    hugePages = HugePageReserve.of(HUGE_PAGES);
    cluster = TestCluster.start(TestCluster.Options.nodes(2).inNamespaces().withoutRehearsal());
  }

  @AfterAll
  void end() {
    if (cluster != null) {
      cluster.close();
    }
    if (hugePages != null) {
      hugePages.close();
    }
  }

  @Execution(ExecutionMode.CONCURRENT)
  @Tag("long")
  @ParameterizedTest(name = "{0}")
  @MethodSource("programs")
  void keepsItsStateOverMoves(KindProgram kind) {
    var program = new WatchedProgram(kind, cluster.directory().resolve(kind.name()));
    cluster.node(0).run(kind.name(), program.command().toArray(String[]::new));
    program.awaitRunning();
    int look = 0;
    assertThat(program.look(++look)).as("before it was moved").isEmpty();
    for (int move = 0; move < MOVES; move++) {
      TestCluster.Node source = cluster.node(move % 2);
      TestCluster.Node destination = cluster.node((move + 1) % 2);
      ObjectNode outcome = source.migrateVerified(kind.name(), destination);
      assertThat(outcome.path("outcome").asText()).as(outcome + "\n" + source.log() + destination.log()).isEqualTo("completed");
      assertThat(program.look(++look)).as("after move " + (move + 1)).isEmpty();
    }
    program.assertVerdictOk();
    TestCluster.Node last = cluster.node(MOVES % 2);
    await("its end to be known")
        .atMost(END_MAX)
        .until(() -> last.container(kind.name()).map(entry -> entry.path("status").asText().equals("exited")).orElse(false));
    last.ask(ControlClient.request("stop").put("container", kind.name()));
  }

  @Execution(ExecutionMode.CONCURRENT)
  @ParameterizedTest(name = "{0}")
  @MethodSource("programs")
  void keepsItsStateInImages(KindProgram kind) throws IOException {
    Path place = Files.createDirectory(scratch.resolve(kind.name() + "-images"));
    var program = new WatchedProgram(kind, place.resolve("program"));
    try (var engine = new LiveEngine("kinds-" + kind.name() + "-" + ProcessHandle.current().pid())) {
      var spec = new ContainerSpec("original", program.command(), Map.of("PATH", "/usr/bin:/bin"), Path.of("/"), Files.createDirectory(place.resolve("own")));
      var container = engine.create(spec);
      try {
        program.awaitRunning();
        assertThat(program.look(1)).as("before it was saved").isEmpty();
        engine.checkpoint(container.initPid(), place.resolve("images"), false);
      } finally {
        engine.destroy(container);
      }
      var restored = engine.restore(place.resolve("images"));
      try {
        assertThat(program.look(2)).as("after it was restored").isEmpty();
        program.assertVerdictOk();
      } finally {
        engine.destroy(restored);
      }
    }
  }

  /** Unmoved: a program that never complains proves nothing. */
  @Execution(ExecutionMode.CONCURRENT)
  @Tag("long")
  @ParameterizedTest(name = "{0}")
  @MethodSource("programs")
  void noticesDamageToEachItem(KindProgram kind) throws Exception {
    Path place = Files.createDirectory(scratch.resolve(kind.name() + "-damage"));
    List<String> items = noticesDamage(kind, place, 0);
    // They wait more than they work.
    try (var several = Executors.newFixedThreadPool(AT_A_TIME)) {
      var others = new ArrayList<Future<List<String>>>();
      for (int item = 1; item < items.size(); item++) {
        int number = item;
        others.add(several.submit(() -> noticesDamage(kind, place, number)));
      }
      for (Future<List<String>> other : others) {
        assertThat(other.get(DAMAGE_MAX.toSeconds(), TimeUnit.SECONDS)).isEqualTo(items);
      }
    }
  }

  /** Starts the program, damages one item, and ends it; the names of all items. */
  private static List<String> noticesDamage(KindProgram kind, Path place, int item) throws Exception {
    var program = new WatchedProgram(kind, place.resolve("program" + item));
    String mark = program.directory().toString();
    // In namespaces as a container and its node have them, so that names and ports are its own.
    var command = new ProcessBuilder("unshare", "--fork", "--pid", "--kill-child", "--mount-proc", "--ipc", "--uts", "--net", "--");
    command.command().addAll(List.of("/bin/sh", "-c", "mount -t tmpfs tmpfs /dev/shm && ip link set lo up && exec setsid \"$0\" \"$@\""));
    command.command().addAll(program.command());
    command.environment().put(TestCluster.MARK, mark);
    Process process = command.redirectErrorStream(true).redirectOutput(place.resolve("output" + item).toFile()).start();
    try {
      program.awaitRunning();
      assertThat(program.look(1)).as("undamaged").isEmpty();
      var names = program.text("items").lines().toList();
      String name = names.get(item);
      program.corrupt(name);
      assertThat(program.look(2)).as(name + " is damaged").anyMatch(line -> line.startsWith("FAIL " + name + ": "));
      return names;
    } finally {
      LeakCheck.killMarked(TestCluster.MARK, mark);
      process.waitFor(10, TimeUnit.SECONDS);
    }
  }
}
