package io.gantry.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.memory.LoopbackSink;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whole moves of containers on one host, without a network between. */
class LiveEngineTest {
  @TempDir Path directory;

  private final LiveEngine engine = new LiveEngine("test-" + ProcessHandle.current().pid());
  private int copies;
  private ContainerHandle container;

  @AfterEach
  void nothingIsLeft() {
    if (container != null) {
      engine.destroy(container);
    }
    engine.close();
  }

  private void run(String... command) throws Exception {
    var own = Files.createDirectories(directory.resolve("original"));
    container =
        engine.create(new ContainerSpec("original", List.of(command), Map.of("PATH", "/usr/bin:/bin"), Path.of("/"), own));
  }

  private void move() throws Exception {
    var own = Files.createDirectories(directory.resolve("copy" + ++copies));
    try (var capture = engine.capture(container, new CaptureOptions(true));
        var arrival = engine.receive("copy" + copies, own)) {
      var sink = new LoopbackSink(arrival);
      for (int round = 0; round < 3; round++) {
        System.out.println(capture.round(sink));
      }
      long begin = System.nanoTime();
      System.out.println(capture.freeze());
      var last = capture.sendLast(sink);
      System.out.println(last);
      capture.hold();
      var report = arrival.complete();
      System.out.println(report);
      assertThat(report.digest()).isEqualTo(last.digest());
      arrival.activate();
      System.out.println("pause " + (System.nanoTime() - begin) / 1000 + " us");
      capture.destroyOriginal();
      container = report.container();
    }
  }

  private String console() throws Exception {
    return Files.readString(container.directory().resolve("console.log"));
  }

  @Test
  void aShellThatCountsGoesOnCounting() throws Exception {
    run("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done");
    for (int i = 0; i < 5; i++) {
      int lines = console().split("\n").length;
      Awaitility.await().atMost(Duration.ofSeconds(10)).until(() -> console().split("\n").length > lines + 3);
      move();
    }
    int lines = console().split("\n").length;
    Awaitility.await().atMost(Duration.ofSeconds(10)).until(() -> console().split("\n").length > lines + 3);
    var numbers = console().lines().toList();
    for (int i = 0; i < numbers.size(); i++) {
      assertThat(numbers.get(i)).isEqualTo(Integer.toString(i + 1));
    }
  }

  /** A JVM reserves memory and makes it accessible piece by piece; every page is compared in each freeze. */
  @Test
  void everyPageOfAGrowingJvmArrives() throws Exception {
    var source = directory.resolve("Growing.java");
    Files.writeString(
        source,
        """
        import java.util.ArrayList;
        public class Growing {
          public static void main(String[] arguments) throws Exception {
            var kept = new ArrayList<int[]>();
            for (int i = 0; ; i++) {
              var fresh = new int[4096];
              java.util.Arrays.fill(fresh, i);
              kept.add(fresh);
              if (kept.size() > 2000) kept.subList(0, 1500).clear();
              for (int k = 0; k < kept.size(); k += 37) if (kept.get(k)[7] != kept.get(k)[4095]) throw new AssertionError();
              if (i % 200 == 0) System.out.println(i);
              if (i % 20 == 0) Thread.sleep(1);
            }
          }
        }
        """);
    var java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
    run(java, "-Xmx128m", "-XX:-UsePerfData", source.toString());
    for (int i = 0; i < 8; i++) {
      int lines = console().split("\n").length;
      Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> console().split("\n").length > lines + 2);
      move();
    }
    assertThat(console()).doesNotContain("Exception", "Error");
  }

  /** Listing the host's processes reads their arguments, and reading where nothing is can make a stack grow that lies above. */
  @Test
  void aCopyThatIsBeingBuiltShowsNoArguments() throws Exception {
    run("sleep", "60");
    var own = Files.createDirectories(directory.resolve("copy" + ++copies));
    try (var capture = engine.capture(container, new CaptureOptions(true));
        var arrival = engine.receive("copy" + copies, own)) {
      capture.round(new LoopbackSink(arrival));
      var group = container.cgroup().resolveSibling("copy" + copies);
      var stubs = Files.readAllLines(group.resolve("cgroup.procs"));
      assertThat(stubs).isNotEmpty();
      for (String stub : stubs) {
        assertThat(Files.readAllBytes(Path.of("/proc/" + stub + "/cmdline"))).isEmpty();
        assertThat(Files.readAllBytes(Path.of("/proc/" + stub + "/environ"))).isEmpty();
      }
    }
  }

  @Test
  void aTreeOfTheHostGoesThroughImages() throws Exception {
    var images = directory.resolve("images");
    final int pid;
    try (var program =
        io.gantry.checkpoint.testing.Workload.run("counter", List.of("setsid", "sh", "-c", "exec < /dev/null > /dev/null 2>&1; i=0; while :; do i=$((i+1)); echo $i > " + directory + "/n; sleep 0.01; done"))) {
      Awaitility.await().atMost(Duration.ofSeconds(10)).until(() -> number() > 3);
      pid = program.pid();
      System.out.println(engine.checkpoint(pid, images, false));
    }
    Awaitility.await().atMost(Duration.ofSeconds(10)).until(() -> !Files.exists(Path.of("/proc/" + pid)));
    int before = number();
    var handle = engine.restore(images);
    try {
      assertThat(handle.initPid()).isEqualTo(pid);
      Awaitility.await().atMost(Duration.ofSeconds(10)).until(() -> number() > before + 3);
    } finally {
      ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly);
    }
  }

  private int number() throws Exception {
    var file = directory.resolve("n");
    var text = Files.exists(file) ? Files.readString(file).strip() : "";
    return text.isEmpty() ? 0 : Integer.parseInt(text);
  }
}
