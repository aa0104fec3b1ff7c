package io.gantry.checkpoint.tracee;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.gantry.checkpoint.ContainerHandle;
import io.gantry.checkpoint.ContainerSpec;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.testing.Workload;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Containers are born as real processes. Needs root. */
@Timeout(60)
class BirthTest {
  private static final Duration LIMIT = Duration.ofSeconds(10);

  @TempDir Path directory;
  private final List<Cgroup> cgroups = new ArrayList<>();
  /** A group of its own, so that tests that run beside this one do not meet it. */
  private final String group = "test-" + ProcessHandle.current().pid();

  private final String name = "birth-" + ProcessHandle.current().pid() + "-" + Long.toHexString(System.nanoTime());

  @AfterEach
  void removeContainers() {
    for (var cgroup : cgroups) {
      cgroup.kill();
      cgroup.awaitEmpty(LIMIT);
      cgroup.remove();
    }
    Cgroup.removeGroupIfEmpty(group);
  }

  private ContainerSpec spec(String... command) {
    return new ContainerSpec(name, List.of(command), Map.of("PATH", "/usr/bin:/bin", "COLOUR", "blue"), Path.of("/tmp"), directory);
  }

  private ContainerHandle create(String... command) {
    var handle = Birth.create(spec(command), group);
    cgroups.add(new Cgroup(handle.cgroup()));
    return handle;
  }

  private String console() throws IOException {
    return Files.readString(directory.resolve(Birth.CONSOLE));
  }

  @Test
  void theCommandRunsInNamespacesOfItsOwn() {
    var handle =
        create(
            "sh",
            "-c",
            "echo pid $$; echo dir $(pwd); echo colour $COLOUR; hostname; cat /proc/self/status | grep -E 'SigBlk|SigIgn'; umask;"
                + " ls /proc | grep -c '^[0-9]'; ls -l /proc/self/fd; cat /proc/self/timerslack_ns; echo end; exit 3");
    await().atMost(LIMIT).untilAsserted(() -> assertThat(console()).contains("\nend\n"));
    await().atMost(LIMIT).until(() -> Birth.exitStatus(handle).isPresent());
    assertThat(Birth.exitStatus(handle)).isEqualTo(OptionalInt.of(3));
    Birth.reap(handle);
    assertThat(Path.of("/proc/" + handle.initPid())).doesNotExist();
    assertThatCode(handle);
  }

  private void assertThatCode(ContainerHandle handle) {
    try {
      String text = console();
      assertThat(text).contains("pid 1\n", "dir /tmp\n", "colour blue\n", "\n" + handle.name() + "\n", "0022\n");
      assertThat(text).contains("SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000");
      assertThat(text).contains("0 -> /dev/null", "1 -> /run/gantry/console.log", "2 -> /run/gantry/console.log");
      assertThat(text.lines().filter(line -> line.contains(" -> ")).count()).as("descriptors, one of them ls's own:\n" + text).isEqualTo(4);
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  @Test
  void nothingIsLeftBehindWhenTheProgramIsMissing() throws IOException {
    assertThatThrownBy(() -> create("no-such-program")).hasMessage("program \"no-such-program\" was not found in PATH (/usr/bin:/bin)");
    assertThatThrownBy(() -> create("/etc/passwd")).hasMessageContaining("not executable");
    assertThatThrownBy(() -> create("/no/such")).hasMessageContaining("does not exist");
    var script = Files.writeString(directory.resolve("script"), "#!/no/such/interpreter\n");
    assertThat(script.toFile().setExecutable(true)).isTrue();
    assertThatThrownBy(() -> create(script.toString())).hasMessageContaining("interpreter");
    var empty = Files.createFile(directory.resolve("empty"));
    assertThat(empty.toFile().setExecutable(true)).isTrue();
    assertThatThrownBy(() -> create(empty.toString())).hasMessageContaining("neither an ELF program");
    assertThat(Cgroup.mountPoint().resolve("gantry").resolve(group).resolve(name)).doesNotExist();
    assertThat(directory.resolve(Birth.CONSOLE)).doesNotExist();
  }

  @Test
  void aNameInUseIsRefusedAndTheFirstContainerLives() {
    var first = create("sleep", "100");
    assertThatThrownBy(() -> Birth.create(spec("sleep", "100"), group)).hasMessageContaining(name);
    assertThat(new Cgroup(first.cgroup()).processes()).containsExactly(first.initPid());
    assertThat(Birth.startTicks(first.initPid())).isEqualTo(first.initStartTicks());
  }

  @Test
  void theContainerOutlivesTheAgent() throws Exception {
    var program = Workload.compile("counter").toString();
    var java = ProcessHandle.current().info().command().orElseThrow();
    var agent =
        new ProcessBuilder(
                java,
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                BirthAgent.class.getName(),
                group,
                name,
                directory.toString(),
                program)
            .redirectErrorStream(true)
            .start();
    try (var output = agent.inputReader()) {
      String line = output.readLine();
      assertThat(line).startsWith("born ");
      int pid = Integer.parseInt(line.substring(5));
      cgroups.add(new Cgroup(Cgroup.mountPoint().resolve("gantry").resolve(group).resolve(name)));
      Signals.kill((int) agent.pid(), Signals.SIGKILL);
      assertThat(agent.waitFor(LIMIT.toMillis(), TimeUnit.MILLISECONDS)).isTrue();
      long length = Files.size(directory.resolve(Birth.CONSOLE));
      await().atMost(LIMIT).until(() -> Files.size(directory.resolve(Birth.CONSOLE)) > length + 30);
      assertThat(TaskStatus.read(Integer.toString(pid)).orElseThrow().tracerPid()).isZero();
      assertThat(console()).doesNotContain("error");
    } finally {
      agent.destroyForcibly();
    }
  }

  @Test
  void aFrozenContainerStaysFrozenAndGoesOn() throws IOException {
    var handle = create(Workload.compile("counter").toString());
    await().atMost(LIMIT).untilAsserted(() -> assertThat(console()).contains("counted"));
    var freezer = new Freezer(handle.cgroup());
    try (var tracer = new TracerThread("tracer of a test")) {
      tracer.run(
          () -> {
            var tree = StoppedTree.stop(handle.cgroup(), LIMIT);
            assertThat(tree.processes().getFirst().nsPid()).isEqualTo(1);
            assertThat(tree.processes().getFirst().anyThread().call("getpid", 39)).isEqualTo(1);
            tree.hold(freezer, LIMIT);
          },
          LIMIT);
    }
    assertThat(freezer.isFrozen()).isTrue();
    assertThat(TaskStatus.read(Integer.toString(handle.initPid())).orElseThrow().tracerPid()).isZero();
    long length = Files.size(directory.resolve(Birth.CONSOLE));
    freezer.thaw(LIMIT);
    await().atMost(LIMIT).until(() -> Files.size(directory.resolve(Birth.CONSOLE)) > length + 30);
    assertThat(console()).doesNotContain("error");
  }
}
