package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.Json;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Containers that runc makes from bundles move between two nodes; each node's runc keeps its state below the node's own directory. */
@Tag("long")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class OciTest {
  private static final Duration END_MAX = Duration.ofSeconds(10);

  private static final String SECOND_HOST = "gantry-test-oci-" + ProcessHandle.current().pid();

  @TempDir static Path scratch;

  private TestCluster cluster;

  @BeforeAll
  void start() throws IOException {
    Path config = Files.writeString(scratch.resolve("node.conf"), "gantry.runtime-root = runtime\n");
    var arguments = List.of("--no-rehearsal", "--config", config.toString());
    var secondHost = List.of("sh", OciHosts.SECOND_HOST.toString(), SECOND_HOST);
    cluster = TestCluster.start(new TestCluster.Options(2, true, false, false, arguments, secondHost));
  }

  @AfterAll
  void end() {
    if (cluster != null) {
      cluster.close();
    }
    removeSecondHost();
  }

  private static void removeSecondHost() {
    for (Path cgroup : secondHostGroups()) {
      // The node has just ended; a cgroup is free a moment later.
      await("removal of " + cgroup).atMost(END_MAX).until(() -> !Files.exists(cgroup) || cgroup.toFile().delete());
    }
  }

  private static List<Path> secondHostGroups() {
    try {
      return Files.readAllLines(Path.of("/proc/self/mountinfo")).stream()
          .filter(line -> line.contains(" - cgroup ") || line.contains(" - cgroup2 "))
          .map(line -> Path.of(line.split(" ")[4]).resolve(SECOND_HOST))
          .distinct()
          .toList();
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  private TestCluster.Node node(int index) {
    return cluster.node(index % 2);
  }

  private static List<String> runc(TestCluster.Node node, String... words) {
    var command = new ArrayList<>(List.of("runc", "--root", node.stateDirectory().resolve("runtime").toString()));
    command.addAll(List.of(words));
    return command;
  }

  private record Answer(int status, String output) {}

  private static Answer call(List<String> command) {
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
      return new Answer(process.exitValue(), output);
    } catch (IOException failure) {
      throw new AssertionError(command.getFirst() + " is needed", failure);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new AssertionError("interrupted", interrupted);
    }
  }

  private static String status(TestCluster.Node node, String id) throws IOException {
    var answer = call(runc(node, "state", id));
    return answer.status == 0 ? Json.parse(answer.output).path("status").asText() : "none";
  }

  private static ObjectNode run(TestCluster.Node node, String name, TestBundle bundle) {
    return node.ask(
        ControlClient.request("run-bundle").put("container", name).put("id", name).put("runtime", "runc").put("bundle", bundle.directory().toString()));
  }

  private TestBundle bundle(String name, String kind, java.util.function.Consumer<ObjectNode> change) {
    return TestBundle.make(
        cluster.directory().resolve("bundles").resolve(name),
        new KindProgram(kind),
        config -> {
          ((ArrayNode) config.path("process").path("env")).add(TestCluster.MARK + "=" + cluster.directory().getFileName());
          change.accept(config);
        });
  }

  private void move(String name, int from, WatchedProgram program, int look) throws IOException {
    ObjectNode outcome = node(from).migrateVerified(name, node(from + 1));
    assertThat(outcome.path("outcome").asText()).as(outcome + "\n" + node(0).log() + node(1).log()).isEqualTo("completed");
    assertThat(program.look(look)).as("after a move from " + node(from).name()).isEmpty();
    assertThat(status(node(from), name)).isEqualTo("none");
    assertThat(status(node(from + 1), name)).isEqualTo("running");
  }

  private static void stop(TestCluster.Node node, String name) throws IOException {
    node.ask(ControlClient.request("stop").put("container", name));
    assertThat(status(node, name)).isEqualTo("none");
  }

  @Test
  void movesThereAndBackAndStaysItsRuntimes() throws IOException {
    var bundle = bundle("plain", "deleted_files", config -> {});
    run(node(0), "plain", bundle);
    var program = new WatchedProgram(bundle.kind(), bundle.data()).awaitRunning();
    assertThat(program.look(1)).as("before it was moved").isEmpty();
    ObjectNode survey = node(0).ask(ControlClient.request("survey").put("container", "plain"));
    assertThat(survey.path("moves").asBoolean()).as("its mounts are the runtime's: " + survey).isTrue();
    for (int move = 0; move < 6; move++) {
      move("plain", move, program, move + 2);
    }
    var exec = call(runc(node(0), "exec", "plain", "/bin/busybox", "sh", "-c", "echo $$; hostname; kill -0 1 && echo seen"));
    assertThat(exec.output.lines().skip(1)).as(exec.output).containsExactly("bundled", "seen");
    assertThat(exec.status).isZero();
    assertThat(call(runc(node(0), "kill", "plain", "CONT")).status).isZero();
    assertThat(call(runc(node(0), "delete", "--force", "plain")).status).isZero();
    assertThat(status(node(0), "plain")).isEqualTo("none");
    node(0).ask(ControlClient.request("stop").put("container", "plain"));
  }

  /** Whatever the program may not do itself: its copy is made by somebody who may, and has no more rights than it had. */
  @Test
  void movesWithReadOnlyRootAnotherUserAndSeccompProfile() throws IOException {
    var bundle = bundle("strict", "eventfds", OciTest::strict);
    Files.setPosixFilePermissions(bundle.data(), PosixFilePermissions.fromString("rwxrwxrwx"));
    run(node(0), "strict", bundle);
    var program = new WatchedProgram(bundle.kind(), bundle.data()).awaitRunning();
    Map<String, String> before = rights(node(0), "strict");
    assertThat(before).containsEntry("Uid", "1000\t1000\t1000\t1000").containsEntry("NoNewPrivs", "1").containsEntry("Seccomp", "2").containsEntry("Seccomp_filters", "1");
    for (int move = 0; move < 2; move++) {
      move("strict", move, program, move + 1);
      assertThat(rights(node(move + 1), "strict")).isEqualTo(before);
    }
    assertThat(call(runc(node(0), "exec", "strict", "/bin/busybox", "touch", "/bin/x")).output).contains("Read-only file system");
    program.assertVerdictOk();
    stop(node(0), "strict");
  }

  private static void strict(ObjectNode config) {
    ((ObjectNode) config.path("root")).put("readonly", true);
    ((ObjectNode) config.path("process").path("user")).put("uid", 1000).put("gid", 1000).putArray("additionalGids").add(27);
    ObjectNode data = ((ArrayNode) config.path("mounts")).addObject().put("destination", "/data").put("type", "bind").put("source", "rootfs/data");
    data.putArray("options").add("bind").add("rw");
    ObjectNode profile = ((ObjectNode) config.path("linux")).putObject("seccomp").put("defaultAction", "SCMP_ACT_ALLOW");
    profile.putArray("architectures").add("SCMP_ARCH_X86_64");
    ObjectNode rule = profile.putArray("syscalls").addObject().put("action", "SCMP_ACT_ERRNO");
    // What every way of building a copy needs, and no program.
    List.of("clone3", "unshare", "mount", "setns", "ptrace", "userfaultfd", "pidfd_getfd", "keyctl").forEach(rule.putArray("names")::add);
  }

  /** Ids of the host, from this one on, that users and groups of a container with a user namespace are. */
  private static final int FIRST_ID = 300000;

  /** Its programs have made user namespaces of their own below it. */
  @Test
  void movesWithAUserNamespace() throws IOException {
    var bundle = bundle("mapped", "user_namespaces", OciTest::mapped);
    // Its root reaches its files as somebody else's.
    for (Path up = bundle.directory(); !up.equals(cluster.directory().getParent()); up = up.getParent()) {
      Files.setPosixFilePermissions(up, PosixFilePermissions.fromString("rwx--x--x"));
    }
    Files.setAttribute(bundle.data(), "unix:uid", FIRST_ID);
    Files.setAttribute(bundle.data(), "unix:gid", FIRST_ID);
    run(node(0), "mapped", bundle);
    var program = new WatchedProgram(bundle.kind(), bundle.data()).awaitRunning();
    assertThat(program.look(1)).as("before it was moved").isEmpty();
    Map<String, String> before = rights(node(0), "mapped");
    assertThat(before).containsEntry("Uid", "300000\t300000\t300000\t300000").containsEntry("CapBnd", "00000000a00805e1");
    assertThat(inMapped("echo kept > /dev/shm/kept && chown 7:8 /dev/shm/kept")).isEmpty();
    for (int move = 0; move < 2; move++) {
      move("mapped", move, program, move + 2);
      var there = node(move + 1);
      assertThat(rights(there, "mapped")).isEqualTo(before);
      Path first = Path.of("/proc/" + Json.parse(call(runc(there, "state", "mapped")).output).path("pid").asInt());
      assertThat(Files.readString(first.resolve("uid_map")).strip().split("\\s+")).containsExactly("0", "300000", "1000000");
      assertThat(Files.getAttribute(first.resolve("root/dev/shm/kept"), "unix:uid")).isEqualTo(FIRST_ID + 7);
      assertThat(Files.getAttribute(first.resolve("root/dev/shm/kept"), "unix:gid")).isEqualTo(FIRST_ID + 8);
    }
    // Where the runtime's control groups are those of this test.
    assertThat(inMapped("id -u; cat /dev/shm/kept; kill -0 1 && echo its").lines()).containsExactly("0", "kept", "its");
    assertThat(Files.getAttribute(bundle.data().resolve("report"), "unix:uid")).isEqualTo(FIRST_ID);
    program.assertVerdictOk();
    stop(node(0), "mapped");
  }

  private String inMapped(String script) {
    return call(runc(node(0), "exec", "mapped", "/bin/busybox", "sh", "-c", script)).output;
  }

  private static void mapped(ObjectNode config) {
    ObjectNode linux = (ObjectNode) config.path("linux");
    for (String type : List.of("user", "network")) {
      ((ArrayNode) linux.path("namespaces")).addObject().put("type", type);
    }
    for (String map : List.of("uidMappings", "gidMappings")) {
      linux.putArray(map).addObject().put("containerID", 0).put("hostID", FIRST_ID).put("size", 1000000);
    }
    ObjectNode capabilities = (ObjectNode) config.path("process").path("capabilities");
    var more = List.of("CAP_CHOWN", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_SETFCAP", "CAP_SYS_PTRACE");
    for (String set : List.of("bounding", "effective", "permitted")) {
      // What it takes to give maps to others, and to see which namespaces they are in.
      more.forEach(((ArrayNode) capabilities.path(set))::add);
    }
  }

  private static Map<String, String> rights(TestCluster.Node node, String id) throws IOException {
    int pid = Json.parse(call(runc(node, "state", id)).output).path("pid").asInt();
    var found = new TreeMap<String, String>();
    var names = Set.of("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters");
    for (String line : Files.readAllLines(Path.of("/proc/" + pid + "/status"))) {
      int colon = line.indexOf(':');
      if (names.contains(line.substring(0, colon))) {
        found.put(line.substring(0, colon), line.substring(colon + 1).strip());
      }
    }
    return found;
  }

  @Test
  void runsOnAtItsSourceWhenTheDestinationsRuntimeMakesSomethingElse() throws Exception {
    var bundle = bundle("other", "eventfds", config -> {});
    run(node(1), "other", bundle);
    var program = new WatchedProgram(bundle.kind(), bundle.data()).awaitRunning();
    int pid = Json.parse(call(runc(node(1), "state", "other")).output).path("pid").asInt();
    remount(pid, "remount,bind,nosuid,nodev,noexec");
    ObjectNode outcome = node(1).migrate("other", node(0));
    assertThat(outcome.path("outcome").asText()).as(outcome.toString()).isEqualTo("rolled-back");
    assertThat(outcome.toString()).contains("runc mounts other things here", "/proc");
    assertThat(program.look(1)).isEmpty();
    assertThat(status(node(1), "other")).isEqualTo("running");
    assertThat(status(node(0), "other")).isEqualTo("none");

    // A restarted agent finds it, and its runtime.
    node(1).terminate();
    node(1).start();
    cluster.awaitReachable(2);
    await("it to be known again")
        .atMost(END_MAX)
        .until(() -> node(1).container("other").map(entry -> entry.path("status").asText().equals("running")).orElse(false));
    assertThat(program.look(2)).isEmpty();
    remount(pid, "remount,bind,suid,dev,exec");
    move("other", 1, program, 3);
    program.assertVerdictOk();
    stop(node(0), "other");
  }

  private static void remount(int pid, String options) {
    TestNetwork.run("nsenter", "-t", Integer.toString(pid), "-m", "-p", "/bin/busybox", "mount", "-o", options, "/proc");
  }

  @Test
  void adoptsWhatRunsAndRefusesWhatCannotMove() throws Exception {
    var bundle = bundle("theirs", "eventfds", config -> {});
    Path output = bundle.directory().resolve("output");
    // In the node's network.
    var command = new ArrayList<>(node(0).enter());
    command.addAll(runc(node(0), "run", "--detach", "--bundle", bundle.directory().toString(), "theirs"));
    Process made =
        new ProcessBuilder(command)
            .redirectInput(Path.of("/dev/null").toFile())
            .redirectErrorStream(true)
            .redirectOutput(output.toFile())
            .start();
    assertThat(made.waitFor(30, TimeUnit.SECONDS) && made.exitValue() == 0).as(Files.readString(output)).isTrue();
    var program = new WatchedProgram(bundle.kind(), bundle.data()).awaitRunning();
    var adopted = node(0).cli("adopt", "--runtime", "runc", "--id", "theirs", "--json");
    assertThat(adopted.status()).as(adopted.said()).isZero();
    assertThat(adopted.json().path("name").asText()).isEqualTo("theirs");

    int init = adopted.json().path("init_pid").asInt();
    Path misplaced = Path.of("/proc/" + init + "/root/dev/misplaced");
    Files.writeString(misplaced, "would be lost");
    Files.writeString(Path.of("/proc/" + init + "/root/dev/shm/kept"), "kept");
    Process inside = new ProcessBuilder(runc(node(0), "exec", "theirs", "/bin/busybox", "sleep", "100")).start();
    await("an exec").atMost(END_MAX).until(() -> call(runc(node(0), "ps", "theirs")).output.contains("sleep"));
    ObjectNode refused = node(0).migrate("theirs", node(1));
    assertThat(refused.path("outcome").asText()).isEqualTo("refused");
    assertThat(refused.toString())
        .contains("the tmpfs at /dev has 1 files, which cannot be carried (misplaced)", "it was put into the container from outside (as by runc exec)");
    // That of runc itself waits for the one inside.
    for (JsonNode pid : new ObjectMapper().readTree(call(runc(node(0), "ps", "--format", "json", "theirs")).output)) {
      if (Files.readString(Path.of("/proc/" + pid.asInt() + "/cmdline")).contains("sleep")) {
        ProcessHandle.of(pid.asInt()).ifPresent(ProcessHandle::destroyForcibly);
      }
    }
    assertThat(inside.waitFor(END_MAX.toSeconds(), TimeUnit.SECONDS)).isTrue();
    Files.delete(misplaced);

    Files.writeString(bundle.directory().resolve("config.json"), " ", StandardOpenOption.APPEND);
    ObjectNode changed = node(0).migrate("theirs", node(1));
    assertThat(changed.toString()).contains("config.json was changed since the container was made from it");
    String config = Files.readString(bundle.directory().resolve("config.json"));
    Files.writeString(bundle.directory().resolve("config.json"), config.substring(0, config.length() - 1));

    move("theirs", 0, program, 1);
    int there = Json.parse(call(runc(node(1), "state", "theirs")).output).path("pid").asInt();
    assertThat(Path.of("/proc/" + there + "/root/dev/shm/kept")).hasContent("kept");
    program.assertVerdictOk();
    stop(node(1), "theirs");
  }
}
