package io.gantry.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.testing.Workload;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a container, or a tree of the host, as a whole cannot be carried for. */
class RefusedContainersTest {
  @TempDir Path directory;

  @Test
  void controlGroupsOfAContainersOwnAreNamed() throws Exception {
    try (var engine = new LiveEngine("refused-" + ProcessHandle.current().pid())) {
      var own = Files.createDirectory(directory.resolve("own"));
      var container =
          engine.create(new ContainerSpec("grouped", List.of("sleep", "1000"), Map.of("PATH", "/usr/bin:/bin"), Path.of("/"), own));
      var below = container.cgroup().resolve("below");
      try {
        assertThat(engine.inspect(container).findings()).isEmpty();
        Files.createDirectory(below);
        assertThat(engine.inspect(container).findings())
            .singleElement()
            .satisfies(finding -> assertThat(finding.kind()).isEqualTo("cgroup"))
            .satisfies(finding -> assertThat(finding.sentence()).contains("/grouped/below"));
      } finally {
        Files.deleteIfExists(below);
        engine.destroy(container);
      }
    }
  }

  @Test
  void programOnSomebodyElsesTerminalIsRefusedByName() throws Exception {
    var started = directory.resolve("pid");
    var owner =
        List.of(
            "python3",
            "-c",
            "import os, pty, sys, time\n"
                + "child, master = pty.fork()\n"
                + "if child == 0: os.execvp('sleep', ['sleep', '1000'])\n"
                + "open(sys.argv[1] + '.new', 'w').write(str(child)); os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
                + "time.sleep(1000)",
            started.toString());
    try (var _ = Workload.run("terminal", owner);
        var engine = new LiveEngine("refused-" + ProcessHandle.current().pid())) {
      Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> Files.exists(started));
      int pid = Integer.parseInt(Files.readString(started));
      Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> Files.readString(Path.of("/proc/" + pid + "/comm")).strip().equals("sleep"));
      assertThatThrownBy(() -> engine.checkpoint(pid, directory.resolve("images"), true))
          .isInstanceOfSatisfying(
              RefusedException.class,
              refused -> {
                assertThat(refused.findings()).extracting(Finding::kind).containsOnly("controlling terminal", "terminal");
                assertThat(refused.findings()).filteredOn(finding -> finding.descriptor() == 0).singleElement()
                    .satisfies(finding -> assertThat(finding.sentence()).startsWith("/dev/pts/").contains("whose master is outside the container"));
              });
    }
  }
}
