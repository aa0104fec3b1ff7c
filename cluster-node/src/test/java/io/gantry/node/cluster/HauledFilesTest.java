package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/**
 * Files of containers move with them between hosts that share no storage: two nodes see different file systems at the same path. One volume is a directory,
 * the other the root of a file system.
 */
@Tag("long")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class HauledFilesTest {
  private static final int DISK_MIB = 96;
  /** On a loaded host a node may not be heard in time and a move be rolled back, which the program survives. */
  private static final int TRIES = 4;

  private Path storage;
  private Path data;
  private Path disk;
  private TestCluster cluster;

  @BeforeAll
  void start() throws IOException {
    storage = Files.createTempDirectory("gantry-test-storage-");
    Files.setPosixFilePermissions(storage, PosixFilePermissions.fromString("rwxr-xr-x"));
    data = storage.resolve("data");
    disk = Files.createDirectory(storage.resolve("disk"));
    TestNetwork.run("mount", "-t", "tmpfs", "-o", "size=" + DISK_MIB + "m,mode=0755", "gantry-test", disk.toString());
    var others = List.of("sh", TestProgram.SOURCES.resolve("second-storage.sh").toString(), storage.toString(), DISK_MIB + "m");
    cluster = TestCluster.start(TestCluster.Options.nodes(2).withoutRehearsal().withOthersIn(others));
  }

  @AfterAll
  void end() throws IOException {
    if (cluster != null) {
      cluster.close();
    }
    TestNetwork.run("umount", disk.toString());
    TestNetwork.run("rm", "-rf", storage.toString());
  }

  @AfterEach
  void stopContainers() throws IOException {
    for (int i = 0; i < 2; i++) {
      for (var entry : cluster.node(i).ask(ControlClient.request("ps")).path("containers")) {
        if (entry.path("node").asText().equals(cluster.node(i).name())) {
          cluster.node(i).ask(ControlClient.request("stop").put("container", entry.path("name").asText()));
        }
      }
      atNode(i, "rm -rf %s %s/.data* %s/* %s/.gantry* %s/filler".formatted(data, storage, disk, disk, storage));
    }
  }

  /** Runs a command that sees the storage of a node. */
  private String atNode(int node, String command) throws IOException {
    var words = new ArrayList<>(List.of("nsenter", "--mount=/proc/" + cluster.node(node).pid() + "/ns/mnt", "sh", "-c", command));
    var process = new ProcessBuilder(words).redirectErrorStream(true).start();
    var said = new String(process.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.ISO_8859_1);
    try {
      assertThat(process.waitFor()).as(said).isZero();
    } catch (InterruptedException interrupted) {
      throw new AssertionError(interrupted);
    }
    return said;
  }

  private WatchedProgram runStorage(List<Path> volumes) throws IOException {
    atNode(0, "mkdir -p " + data);
    var watched =
        new WatchedProgram(
            TestProgram.STORAGE, Files.createTempDirectory(cluster.directory(), "storage"), volumes.stream().map(Path::toString).toArray(String[]::new));
    cluster.node(0).runWithVolumes("files", volumes, watched.command().toArray(String[]::new));
    return watched.awaitRunning();
  }

  private ObjectNode move(int from) {
    ObjectNode outcome = cluster.moveVerified("files", from, TRIES);
    System.out.println("hauled files: pause " + outcome.path("pause_ms").asDouble() + " ms, " + outcome.path("pause_phases"));
    return outcome;
  }

  @Test
  void everyByteIsThereAfterThreeMoves() throws IOException {
    var watched = runStorage(List.of(data, disk));
    for (int i = 0; i < 3; i++) {
      watched.awaitBeats(20);
      move(i % 2);
      watched.assertNoErrors();
      assertThat(atNode(i % 2, "ls " + disk + "; ls -d " + data + " || true")).as("what is left in place").doesNotContain("folder").contains("No such file");
      assertThat(atNode(i % 2, "find %s -maxdepth 1 -name '.data.gantry-files'; cat %s/.data.gantry-files/owner".formatted(storage, storage)))
          .contains("Files of the container files");
    }
    watched.awaitBeats(20);
    watched.assertVerdictOk();
  }

  @Test
  void aFullDiskAtTheDestinationRollsBackAndTheRestGoesOnThen() throws IOException {
    var watched = runStorage(List.of(data));
    atNode(0, "head -c 60000000 /dev/urandom > " + data.resolve("ballast"));
    atNode(1, "head -c 70000000 /dev/zero > " + storage.resolve("filler"));
    ObjectNode outcome = cluster.node(0).migrate("files", cluster.node(1));
    assertThat(outcome.path("outcome").asText()).isEqualTo("refused");
    assertThat(outcome.path("reason").asText()).contains("the volume " + data + " takes", "free on this host");
    atNode(1, "rm " + storage.resolve("filler"));
    var filled = new AtomicBoolean();
    ObjectNode request = ControlClient.request("migrate").put("container", "files").put("to", cluster.node(1).name()).put("deadline_ms", 60_000);
    outcome =
        cluster.node(0)
            .ask(
                request,
                progress -> {
                  if (progress.path("phase").asText().equals("Connecting") && filled.compareAndSet(false, true)) {
                    try {
                      // More than there is room for, with or without what has come by now.
                      atNode(1, "head -c 200000000 /dev/zero > " + storage.resolve("filler") + " || true");
                    } catch (IOException failure) {
                      throw new AssertionError(failure);
                    }
                  }
                });
    assertThat(filled).isTrue();
    assertThat(outcome.path("outcome").asText()).as(outcome.toString()).isEqualTo("rolled-back");
    assertThat(outcome.path("reason").asText()).contains("no space left on device");
    assertThat(atNode(1, "ls -d " + data + " || true")).contains("No such file");
    watched.awaitBeats(10);
    watched.assertNoErrors();
    atNode(1, "rm " + storage.resolve("filler"));
    outcome = move(0);
    // Of the 60 MB some 40 had come. The program's memory and what it writes meanwhile are 20 to 40 MB, by how long it takes.
    assertThat(outcome.path("bytes_sent").asLong()).as("bytes that were sent the second time").isLessThan(72_000_000);
    watched.awaitBeats(10);
    watched.assertVerdictOk();
  }

  @Test
  void whatIsInTheWayIsNamed() throws IOException {
    var watched = runStorage(List.of(data));
    atNode(1, "mkdir " + data + "; touch " + data + "/mine");
    ObjectNode outcome = cluster.node(0).migrate("files", cluster.node(1));
    assertThat(outcome.path("outcome").asText()).isEqualTo("refused");
    assertThat(outcome.path("reason").asText()).contains("the volume " + data + " of the container is not the one that this host has there");
    atNode(1, "rm " + data + "/mine");
    move(0);
    watched.awaitBeats(10);
    watched.assertVerdictOk();
  }
}
