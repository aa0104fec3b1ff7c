package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/**
 * Bundles and what is mounted into them move with their containers between hosts that share no storage: two nodes see different
 * files at one path.
 */
@Tag("long")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class BundleFilesTest {
  private static final int DISK_MIB = 96;
  /** On a loaded host a node may not be heard in time and a move be rolled back, which the program survives. */
  private static final int TRIES = 4;

  /** Of the host's users, that of the container's root. */
  private static final int FIRST_ID = 300_000;

  private static final List<String> RIGHTS = List.of("CAP_CHOWN", "CAP_FOWNER", "CAP_FSETID", "CAP_DAC_OVERRIDE");

  @TempDir static Path scratch;

  private Path storage;
  private Path secondStorage;
  private Path app;
  /** The second host has it elsewhere. */
  private Path outside;
  private OciHosts hosts;

  @BeforeAll
  void start() throws IOException {
    storage = Files.createTempDirectory("gantry-test-storage-");
    Files.setPosixFilePermissions(storage, PosixFilePermissions.fromString("rwxr-xr-x"));
    app = storage.resolve("app");
    outside = storage.resolve("outside");
    Path second =
        Files.writeString(
            scratch.resolve("second.conf"),
            "gantry { runtime-root = runtime, path-map { \"%s\" = \"%s/here\" } }".formatted(outside, storage));
    secondStorage = Files.createTempDirectory("gantry-test-storage-");
    TestNetwork.run("mount", "-t", "tmpfs", "-o", "size=" + DISK_MIB + "m,mode=0755", "gantry-test", secondStorage.toString());
    // What the second host has at these paths, also when its node was started again.
    var script = "mount --bind \"$0\" \"$1\" && mount --bind \"$2\" \"$3\" && shift 3 && exec \"$@\"";
    hosts =
        OciHosts.start(
            scratch,
            "bundles",
            List.of(
                "sh",
                "-c",
                script,
                second.toString(),
                scratch.resolve("node.conf").toString(),
                secondStorage.toString(),
                storage.toString()));
  }

  @AfterAll
  void end() {
    if (hosts != null) {
      hosts.close();
    }
    TestNetwork.run("umount", secondStorage.toString());
    TestNetwork.run("rm", "-rf", storage.toString(), secondStorage.toString());
  }

  @AfterEach
  void stopContainers() throws IOException {
    for (int i = 0; i < 2; i++) {
      for (var entry : hosts.node(i).ask(ControlClient.request("ps")).path("containers")) {
        if (entry.path("node").asText().equals(hosts.node(i).name())) {
          hosts.node(i).ask(ControlClient.request("stop").put("container", entry.path("name").asText()));
        }
      }
      atHost(i, "cd %s; rm -rf app data outside here .app* .data*".formatted(storage));
    }
  }

  /** Runs a command that sees the files of a host; what it says. */
  private String atHost(int node, String command) throws IOException {
    var words = new ArrayList<>(hosts.host(node));
    words.addAll(List.of("sh", "-c", command));
    var process = new ProcessBuilder(words).redirectErrorStream(true).start();
    var said = new String(process.getInputStream().readAllBytes(), StandardCharsets.ISO_8859_1);
    try {
      assertThat(process.waitFor()).as(said).isZero();
    } catch (InterruptedException interrupted) {
      throw new AssertionError(interrupted);
    }
    return said;
  }

  /** What is in the storage of a host, hidden names too. */
  private List<String> there(int node) throws IOException {
    return atHost(node, "ls -A " + storage).lines().toList();
  }

  private void bind(ObjectNode config, String destination, Path source) {
    ObjectNode mount = ((ArrayNode) config.path("mounts")).addObject();
    mount.put("destination", destination).put("type", "bind").put("source", source.toString());
    mount.putArray("options").add("bind").add("rw");
  }

  private WatchedProgram watched() throws IOException {
    var directory = Files.createTempDirectory(hosts.cluster().directory(), "watched");
    return new WatchedProgram(TestProgram.STORAGE, directory, "/files", "/volume");
  }

  /** A bundle on the first host whose program works in its root file system and in a bind mount, and is watched by another. */
  private TestBundle bundle(WatchedProgram watched, Consumer<ObjectNode> change) throws IOException {
    Path data = Files.createDirectories(storage.resolve("data"));
    var bundle =
        TestBundle.make(
            app,
            new KindProgram("eventfds"),
            config -> {
              var process = (ObjectNode) config.path("process");
              ((ArrayNode) process.path("env")).add(TestCluster.MARK + "=" + hosts.cluster().directory().getFileName());
              process.putArray("args").add("/bin/storage").add("/watched").add("/files").add("/volume");
              for (var set : process.path("capabilities")) {
                RIGHTS.forEach(((ArrayNode) set)::add);
              }
              bind(config, "/watched", watched.directory());
              bind(config, "/volume", data);
              change.accept(config);
            });
    Files.createDirectories(app.resolve("rootfs/files"));
    TestProgram.compileStatically(TestProgram.SOURCES.resolve("storage.c"), app.resolve("rootfs/bin/storage"));
    return bundle;
  }

  private ObjectNode request(String name, TestBundle bundle) {
    ObjectNode request = OciHosts.request(name, bundle);
    request.putArray("volumes").add(storage.resolve("data").toString());
    return request;
  }

  private ObjectNode move(String name, int from) throws IOException {
    ObjectNode outcome = hosts.cluster().moveVerified(name, from, TRIES);
    assertThat(hosts.status(from, name)).isEqualTo("none");
    assertThat(hosts.status(from + 1, name)).isEqualTo("running");
    System.out.println(
        name + ": pause " + outcome.path("pause_ms").asDouble() + " ms, " + outcome.path("bytes_sent").asLong() + " bytes");
    return outcome;
  }

  @Test
  void rootFileSystemAndBindMountsMoveWithTheContainer() throws IOException {
    var watched = watched();
    hosts.node(0).ask(request("files", bundle(watched, config -> {})));
    watched.awaitRunning();
    for (int i = 0; i < 2; i++) {
      watched.awaitBeats(20);
      move("files", i);
      watched.assertNoErrors();
      assertThat(there(i)).as("what is left in place").containsExactlyInAnyOrder(".app.gantry-files", ".data.gantry-files");
      assertThat(there(i + 1)).contains("app", "data");
      assertThat(atHost(i, "cat %s/.app.gantry-files/owner".formatted(storage))).contains("Files of the container files");
      var exec = hosts.runc(i + 1, "exec", "files", "/bin/busybox", "sh", "-c", "echo written >> /files/by-exec; ls /volume");
      assertThat(exec.output()).contains("folder-");
    }
    assertThat(atHost(0, "cat %s/rootfs/files/by-exec".formatted(app))).isEqualTo("written\nwritten\n");
    watched.awaitBeats(20);
    watched.assertVerdictOk();
  }

  @Test
  void aMoveThatIsRolledBackLeavesNothingInPlace() throws IOException {
    var watched = watched();
    hosts.node(0).ask(request("undone", bundle(watched, config -> {})));
    watched.awaitRunning();
    // The destination's runtime makes it another way, which is seen when it has been made from files that have come.
    int pid = hosts.initPid(0, "undone");
    String mount = "nsenter -t " + pid + " -m -p /bin/busybox mount -o remount,bind,";
    atHost(0, mount + "nosuid,nodev,noexec /proc");
    ObjectNode outcome = hosts.node(0).migrate("undone", hosts.node(1));
    assertThat(outcome.path("outcome").asText()).as(outcome.toString()).isEqualTo("rolled-back");
    assertThat(outcome.path("reason").asText()).contains("runc mounts other things here");
    // The source does not wait for that.
    await("files to be taken away")
        .atMost(Duration.ofSeconds(30))
        .untilAsserted(() -> assertThat(there(1)).containsExactlyInAnyOrder(".app.gantry-undone", ".data.gantry-undone"));
    assertThat(there(0)).containsExactlyInAnyOrder("app", "data");
    assertThat(hosts.status(1, "undone")).isEqualTo("none");
    watched.awaitBeats(10);
    watched.assertNoErrors();
    atHost(0, mount + "suid,dev,exec /proc");
    move("undone", 0);
    watched.awaitBeats(10);
    watched.assertVerdictOk();
  }

  @Test
  void anAgentThatDiesWhenItHasPutFilesInTheirPlaceTakesThemAwayWhenItIsBack() throws Exception {
    var watched = watched();
    hosts.node(0).ask(request("orphan", bundle(watched, config -> {})));
    watched.awaitRunning();
    var outcome =
        CompletableFuture.supplyAsync(
            () -> hosts.node(0).migrate("orphan", hosts.node(1)), task -> Thread.ofPlatform().start(task));
    Path placed = Path.of("/proc/" + hosts.node(1).pid() + "/root" + app + "/config.json");
    await("files at the destination")
        .pollInterval(Duration.ofMillis(2))
        .atMost(Duration.ofSeconds(30))
        .until(() -> Files.exists(placed));
    hosts.node(1).kill();
    assertThat(outcome.get(60, TimeUnit.SECONDS).path("outcome").asText()).isEqualTo("rolled-back");
    watched.awaitBeats(10);
    hosts.node(1).start();
    hosts.cluster().awaitReachable(2);
    await("files to be taken away")
        .atMost(Duration.ofSeconds(30))
        .untilAsserted(() -> assertThat(there(1)).containsExactlyInAnyOrder(".app.gantry-orphan", ".data.gantry-orphan"));
    assertThat(hosts.status(1, "orphan")).isEqualTo("none");
    move("orphan", 0);
    watched.awaitBeats(10);
    watched.assertVerdictOk();
  }

  /** Its root is nobody on the host, and gets at its files before all of them have come. */
  @Test
  void aBundleWithAUserNamespaceMoves() throws IOException {
    Path directory = Files.createTempDirectory(hosts.cluster().directory(), "watched");
    var program = new WatchedProgram(new KindProgram("eventfds"), directory);
    var bundle =
        bundle(
            program,
            config -> {
              OciHosts.namespace(config, "user");
              OciHosts.namespace(config, "network");
              for (String map : List.of("uidMappings", "gidMappings")) {
                ObjectNode ids = ((ObjectNode) config.path("linux")).putArray(map).addObject();
                ids.put("containerID", 0).put("hostID", FIRST_ID).put("size", 65536);
              }
              ((ObjectNode) config.path("process")).putArray("args").add("/bin/program").add("/watched");
            });
    atHost(0, "chown -R %d:%d %s %s/rootfs %s".formatted(FIRST_ID, FIRST_ID, directory, app, storage.resolve("data")));
    atHost(0, "chmod 0711 %s %s/rootfs".formatted(app, app));
    hosts.node(0).ask(request("mapped-ids", bundle));
    program.awaitRunning();
    for (int i = 0; i < 2; i++) {
      move("mapped-ids", i);
      assertThat(program.look(i + 1)).isEmpty();
      assertThat(atHost(i + 1, "stat -c '%%a %%u' %s %s/rootfs %s/rootfs/bin/program".formatted(app, app, app)))
          .isEqualTo("711 0\n711 %d\n755 %d\n".formatted(FIRST_ID, FIRST_ID));
    }
    program.assertVerdictOk();
  }

  @Test
  void aReadOnlyRootIsFetchedOnlyWhenItIsMissingAndNotTakenForAnother() throws IOException {
    var watched = watched();
    var bundle =
        bundle(
            watched,
            config -> {
              ((ObjectNode) config.path("root")).put("readonly", true);
              ((ObjectNode) config.path("process")).putArray("args").add("/bin/storage").add("/watched").add("/volume");
            });
    atHost(0, "head -c 60000000 /dev/urandom > %s/rootfs/ballast".formatted(app));
    hosts.node(0).ask(request("constant", bundle));
    watched.awaitRunning();
    assertThat(move("constant", 0).path("bytes_sent").asLong()).isGreaterThan(60_000_000);
    assertThat(there(0)).as("what cannot change stays").containsExactlyInAnyOrder("app", ".data.gantry-constant");
    assertThat(move("constant", 1).path("bytes_sent").asLong()).as("bytes of the way back").isLessThan(50_000_000);
    assertThat(there(1)).containsExactlyInAnyOrder("app", ".data.gantry-constant");
    watched.awaitBeats(10);

    atHost(1, "echo >> %s/rootfs/ballast".formatted(app));
    ObjectNode outcome = hosts.node(0).migrate("constant", hosts.node(1));
    assertThat(outcome.path("outcome").asText()).isEqualTo("refused");
    assertThat(outcome.path("reason").asText())
        .contains("the bundle " + app + " of the container is not the one that this host has there");
    watched.assertVerdictOk();
  }

  @Test
  void aBindMountThatIsNoVolumeMustBeThere() throws IOException {
    var watched = watched();
    var bundle = bundle(watched, config -> {});
    Files.createDirectory(outside);
    var run = hosts.node(0).cli("run", "--name", "bound", "--bundle", app.toString(), "--volume", outside.toString());
    assertThat(run.status()).isNotZero();
    assertThat(run.err()).contains("no bind mount in " + app + "/config.json has its source in the volume");
    hosts.node(0).ask(OciHosts.request("bound", bundle));
    watched.awaitRunning();
    ObjectNode outcome = hosts.node(0).migrate("bound", hosts.node(1));
    assertThat(outcome.path("outcome").asText()).isEqualTo("refused");
    assertThat(outcome.path("reason").asText())
        .contains(storage.resolve("data") + ", which the container has at /volume, is not on this host");
    assertThat(there(1)).isEmpty();
    watched.assertNoErrors();
    watched.assertVerdictOk();
  }

  @Test
  void aBindMountIsWhereThePathMapOfTheHostSays() throws IOException {
    var watched = watched();
    var bundle =
        bundle(
            watched,
            config -> {
              bind(config, "/outside", outside);
              String program = "exec 5</outside/in/name; exec /bin/storage /watched /files /volume";
              ((ObjectNode) config.path("process")).putArray("args").add("/bin/busybox").add("sh").add("-c").add(program);
            });
    Files.createDirectories(outside.resolve("in"));
    Files.writeString(outside.resolve("in/name"), "first\n");
    hosts.node(0).ask(request("mapped", bundle));
    watched.awaitRunning();
    ObjectNode outcome = hosts.node(0).migrate("mapped", hosts.node(1));
    assertThat(outcome.path("outcome").asText()).isEqualTo("refused");
    assertThat(outcome.path("reason").asText())
        .contains(
            outside + ", which the container has at /outside, is not on this host, where gantry.path-map makes it " + storage
                + "/here");
    atHost(1, "mkdir -p %s/here/in; echo another > %s/here/in/name".formatted(storage, storage));
    outcome = hosts.node(0).migrate("mapped", hosts.node(1));
    assertThat(outcome.path("reason").asText()).contains(storage + "/here/in/name is 8 bytes long here and 6 on the source");
    atHost(1, "echo other > %s/here/in/name".formatted(storage));
    for (int i = 0; i < 2; i++) {
      move("mapped", i);
      String expected = i == 0 ? "other\n" : "first\n";
      var seen = hosts.runc(i + 1, "exec", "mapped", "/bin/busybox", "cat", "/outside/in/name", "/proc/1/fd/5");
      assertThat(seen.output()).isEqualTo(expected + expected);
      watched.awaitBeats(10);
    }
    watched.assertVerdictOk();
  }
}
