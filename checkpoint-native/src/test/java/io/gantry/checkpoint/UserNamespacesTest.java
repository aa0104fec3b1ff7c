package io.gantry.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.gantry.checkpoint.testing.Workload;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Processes in user namespaces that they have made. What such a process sees of it is {@code KindsTest}'s. */
class UserNamespacesTest {
  private static final Duration LIMIT = Duration.ofSeconds(20);
  private static final Map<String, String> PATH = Map.of("PATH", "/usr/bin:/bin");

  @TempDir Path directory;

  private static void awaitProgram(int pid, String name) {
    await(name).atMost(LIMIT).until(() -> Files.readString(Path.of("/proc/" + pid + "/comm")).strip().equals(name));
  }

  private static List<String> facts(int pid) throws IOException {
    var facts = new ArrayList<String>();
    for (String file : List.of("uid_map", "gid_map", "setgroups")) {
      facts.add(file + " " + Files.readString(Path.of("/proc/" + pid + "/" + file)).strip().replaceAll("\\s+", " "));
    }
    Files.readAllLines(Path.of("/proc/" + pid + "/status")).stream()
        .filter(line -> line.matches("(Uid|Gid|Groups|Cap...):.*"))
        .forEach(facts::add);
    return facts;
  }

  private static Path user(int pid) throws IOException {
    return Files.readSymbolicLink(Path.of("/proc/" + pid + "/ns/user"));
  }

  /** As of {@code gantry run -- unshare -r PROGRAM}: nobody is left in the namespace that owns the pid namespace. */
  @Test
  void firstProcessOfAContainerMayBeInOne() throws IOException {
    try (var engine = new LiveEngine("users-" + ProcessHandle.current().pid())) {
      var command =
          List.of("setpriv", "--reuid=1000", "--regid=1000", "--groups=27,1000", "unshare", "--map-root-user", "sleep", "1000");
      var own = Files.createDirectory(directory.resolve("own"));
      var container = engine.create(new ContainerSpec("first", command, PATH, Path.of("/"), own));
      List<String> before;
      try {
        awaitProgram(container.initPid(), "sleep");
        before = facts(container.initPid());
        assertThat(before)
            .contains("uid_map 0 1000 1", "setgroups deny", "Uid:\t1000\t1000\t1000\t1000", "CapEff:\t000001ffffffffff");
        engine.checkpoint(container.initPid(), directory.resolve("images"), false);
      } finally {
        engine.destroy(container);
      }
      var restored = engine.restore(directory.resolve("images"));
      try {
        assertThat(facts(restored.initPid())).isEqualTo(before);
        assertThat(user(restored.initPid())).isNotEqualTo(user((int) ProcessHandle.current().pid()));
      } finally {
        engine.destroy(restored);
      }
    }
  }

  @Test
  void ofATreeOfTheHostItIsRefused() {
    try (var workload = Workload.run("unshared", List.of("unshare", "--user", "sleep", "1000"));
        var engine = new LiveEngine("users-" + ProcessHandle.current().pid())) {
      awaitProgram(workload.pid(), "sleep");
      assertThatThrownBy(() -> engine.checkpoint(workload.pid(), directory.resolve("images"), true))
          .isInstanceOfSatisfying(
              RefusedException.class,
              refused ->
                  assertThat(refused.findings())
                      .filteredOn(finding -> finding.kind().equals("user namespace"))
                      .singleElement()
                      .satisfies(finding -> assertThat(finding.pid()).isEqualTo(workload.pid()))
                      .satisfies(finding -> assertThat(finding.sentence()).contains("in containers only")));
    }
  }

  /** The namespace between would be made without anybody who could say what its ids are. */
  @Test
  void oneWhoseParentNobodyIsInIsRefused() {
    var program = "unshare --user --map-root-user unshare --user --map-root-user sleep 1000 & wait";
    try (var engine = new LiveEngine("users-" + ProcessHandle.current().pid())) {
      var own = directory.resolve("own");
      assertThat(own.toFile().mkdir()).isTrue();
      var container = engine.create(new ContainerSpec("gap", List.of("sh", "-c", program), PATH, Path.of("/"), own));
      try {
        await("a refusal").atMost(LIMIT).until(() -> !engine.inspect(container).findings().isEmpty());
        assertThat(engine.inspect(container).findings())
            .singleElement()
            .satisfies(finding -> assertThat(finding.kind()).isEqualTo("user namespace"))
            .satisfies(finding -> assertThat(finding.sentence()).contains("no process of the container is in any more"));
      } finally {
        engine.destroy(container);
      }
    }
  }
}
