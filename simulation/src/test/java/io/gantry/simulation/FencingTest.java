package io.gantry.simulation;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.actors.Fencing;
import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.simulation.time.VirtualActorSystem;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A real script decides whether a host is off; the time until it is asked is virtual. */
class FencingTest {
  private static final Duration AFTER = Duration.ofSeconds(30);

  private static VirtualActorSystem actors;
  @TempDir private Path directory;
  private TwoNodes nodes;

  @BeforeAll
  static void open() {
    actors = new VirtualActorSystem();
  }

  @AfterAll
  static void end() {
    actors.close();
  }

  @AfterEach
  void stop() {
    nodes.close();
  }

  /** Nodes whose fencing command notes its arguments, one line a call, and then does what {@code ending} says. */
  private void start(String ending, Duration deadline) throws IOException {
    var script = directory.resolve("fence");
    Files.writeString(script, "#!/bin/sh\necho \"$@\" >> " + calls() + "\n" + ending + "\n");
    Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwxr-xr-x"));
    var fencing = new Fencing(List.of(script.toString(), "off", "{node}", "{address}"), AFTER, deadline);
    nodes = new TwoNodes(actors, settings -> settings.withFencing(fencing));
  }

  private void start(String ending) throws IOException {
    start(ending, Duration.ofSeconds(20));
  }

  private Path calls() {
    return directory.resolve("calls");
  }

  private List<String> called() throws IOException {
    return Files.exists(calls()) ? Files.readAllLines(calls()) : List.of();
  }

  private void moveIntoDoubt() {
    nodes.points.at("a ledger.RELEASED.written", () -> nodes.cluster.switchOff("b", new SplittableRandom(1)));
    assertThat(nodes.move().outcome()).isEqualTo(Result.IN_DOUBT);
    nodes.cluster.network().tellPeers();
  }

  private void awaitNote(String words) {
    nodes.awaitList("a", all -> all.getFirst().note().contains(words));
  }

  @Test
  void aCommandThatSucceedsGivesTheContainerBackToTheSource() throws IOException {
    start("exit 0");
    moveIntoDoubt();
    nodes.pass(AFTER.minusSeconds(10)); // it was in doubt before the user was told
    assertThat(called()).as("not before its time").isEmpty();
    nodes.await(() -> nodes.cluster.truth().runningOn(TwoNodes.WEB).equals(List.of("a")));
    assertThat(called()).singleElement().asString().startsWith("off b ");
    nodes.cluster.start("b");
    nodes.awaitOnly("a");
  }

  @Test
  void aCommandThatSucceedsLetsAHeldCopyRun() throws IOException {
    start("exit 0");
    nodes.points.at("b ledger.HELD.written", () -> nodes.cluster.switchOff("a", new SplittableRandom(1)));
    nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.await(() -> nodes.points.pending().isEmpty());
    nodes.cluster.network().tellPeers();
    nodes.await(() -> nodes.cluster.truth().runningOn(TwoNodes.WEB).equals(List.of("b")));
    assertThat(called()).singleElement().asString().startsWith("off a ");
  }

  @Test
  void aCommandThatFailsChangesNothingIsShownAndIsRunAgainWithGrowingPauses() throws IOException {
    start("echo no power switch; exit 7");
    moveIntoDoubt();
    awaitNote("could not be fenced: The fencing command ended with status 7.");
    assertThat(nodes.cluster.truth().copies(TwoNodes.WEB)).containsExactly("a: FROZEN");
    nodes.pass(Duration.ofSeconds(50));
    assertThat(called().size()).as("after about 0, 5, 15 and 35 s").isBetween(3, 5);
    awaitNote("status 7");
    assertThat(nodes.cluster.truth().copies(TwoNodes.WEB)).containsExactly("a: FROZEN");
    nodes.cluster.start("b");
    nodes.cluster.network().tellPeers();
    nodes.awaitOnly("a");
  }

  @Test
  void aCommandThatDoesNotEndIsKilledWithItsChildren() throws IOException {
    start("sleep 1000 & echo $! > " + directory.resolve("child") + "; wait", Duration.ofMillis(300));
    moveIntoDoubt();
    awaitNote("did not end within");
    var child = Long.parseLong(Files.readString(directory.resolve("child")).strip());
    assertThat(ProcessHandle.of(child).filter(ProcessHandle::isAlive).isPresent() && !isZombie(child)).isFalse();
    assertThat(nodes.cluster.truth().copies(TwoNodes.WEB)).containsExactly("a: FROZEN");
  }

  private static boolean isZombie(long pid) throws IOException {
    var stat = Path.of("/proc/" + pid + "/stat");
    return !Files.exists(stat) || Files.readString(stat).contains(") Z ");
  }

  @Test
  void aCommandThatIsMissingIsSaid() {
    nodes =
        new TwoNodes(
            actors,
            settings -> settings.withFencing(new Fencing(List.of("/no/such/command"), AFTER, Duration.ofSeconds(1))));
    moveIntoDoubt();
    awaitNote("/no/such/command cannot be started");
  }

  @Test
  void aHostThatCanBeReachedIsNotFenced() throws IOException {
    start("exit 0");
    nodes.cluster.network().lose(message -> message instanceof PeerMessage.Activate || message instanceof PeerMessage.Answer);
    assertThat(nodes.move().outcome()).isEqualTo(Result.IN_DOUBT);
    nodes.pass(AFTER.plusSeconds(20));
    assertThat(called()).isEmpty();
    nodes.cluster.network().heal();
    nodes.awaitOnly("b");
  }
}
