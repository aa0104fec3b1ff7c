package io.gantry.simulation;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.actors.ContainerInfo;
import io.gantry.actors.ContainerInfo.Status;
import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.MigrationProgress;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.simulation.time.VirtualActorSystem;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** A node moves so many containers at a time and no more; the others wait, and say for what. */
class MovesLimitTest {
  private static final String DB = "db";
  private static VirtualActorSystem actors;
  private TwoNodes nodes;

  @BeforeAll
  static void open() {
    actors = new VirtualActorSystem();
  }

  @AfterAll
  static void end() {
    actors.close();
  }

  private void start(int out, int in) {
    nodes = new TwoNodes(actors, settings -> settings.withMovesMax(out, in));
    nodes.run(DB, "a");
    nodes.awaitKnown("b", DB, "a");
  }

  @AfterEach
  void stop() {
    nodes.close();
  }

  private TwoNodes.Answer<NodeCommand.MigrateReply> move(String container, MigrateOptions options) {
    return nodes.ask("a", replyTo -> new NodeCommand.MigrateContainer(container, "b", options, Optional.empty(), replyTo));
  }

  /** Keeps a first move from going on until the link is healed. */
  private TwoNodes.Answer<NodeCommand.MigrateReply> moveThatHangs() {
    nodes.cluster.network()
        .lose(message -> message instanceof PeerMessage.Activate || message instanceof PeerMessage.Answer);
    var first = move(TwoNodes.WEB, MigrateOptions.defaults());
    nodes.awaitList(
        "a", all -> all.stream().anyMatch(info -> info.name().equals(TwoNodes.WEB) && info.status() == Status.RELEASED));
    return first;
  }

  private void awaitNote(String words) {
    nodes.awaitList("b", all -> all.stream().filter(info -> info.name().equals(DB)).map(ContainerInfo::note)
        .anyMatch(note -> note.contains(words)));
  }

  @Test
  void aMoveBeyondTheLimitOutWaitsItsTurnSaysSoAndGoesOnThen() {
    start(1, 4);
    var first = moveThatHangs();
    TwoNodes.Answer<MigrationProgress> progress = nodes.listen("a", DB);
    var second = move(DB, MigrateOptions.defaults());
    awaitNote("moves 1 containers out already");
    assertThat(progress.get())
        .satisfies(
            step -> {
              assertThat(step.phase()).isEqualTo("Waiting");
              assertThat(step.sentence()).contains("moves 1 containers out already");
            });
    nodes.cluster.network().heal();
    assertThat(TwoNodes.ended(first.get()).outcome()).isIn(Result.COMPLETED, Result.IN_DOUBT);
    assertThat(TwoNodes.ended(second.get()).outcome()).isEqualTo(Result.COMPLETED);
    nodes.awaitKnown("a", DB, "b");
    nodes.awaitKnown("b", TwoNodes.WEB, "b");
    assertThat(nodes.cluster.truth().violations()).isEmpty();
  }

  @Test
  void aMoveThatWaitsIsRefusedAtItsDeadlineWithTheReasonAndTheContainerCanBeStopped() {
    start(1, 4);
    moveThatHangs();
    var outcome = TwoNodes.ended(move(DB, MigrateOptions.defaults().withDeadline(Duration.ofSeconds(5))).get());
    assertThat(outcome.outcome()).isEqualTo(Result.REFUSED);
    assertThat(outcome.reason()).contains("deadline of 5000 ms").contains("moves 1 containers out already");
    nodes.awaitList("a", all -> all.stream().anyMatch(info -> info.name().equals(DB) && info.status() == Status.RUNNING
        && info.note().isEmpty()));
    TwoNodes.Answer<NodeCommand.StopReply> stopped = nodes.ask("b", replyTo -> new NodeCommand.StopContainer(DB, replyTo));
    nodes.cluster.truth().mayEnd(DB);
    assertThat(stopped.get()).isInstanceOf(NodeCommand.Stopped.class);
  }

  @Test
  void aMoveThatWaitsCanBeCancelled() {
    start(1, 4);
    moveThatHangs();
    var second = move(DB, MigrateOptions.defaults());
    awaitNote("It waits");
    TwoNodes.Answer<NodeCommand.CancelReply> cancelled =
        nodes.ask("b", replyTo -> new NodeCommand.CancelMigration(DB, replyTo));
    assertThat(cancelled.get()).isEqualTo(new NodeCommand.CancelAccepted(DB));
    assertThat(TwoNodes.ended(second.get()).reason()).contains("cancelled");
    nodes.awaitList("a", all -> all.stream().anyMatch(info -> info.name().equals(DB) && info.status() == Status.RUNNING));
  }

  @Test
  void aMoveBeyondTheLimitInOffersAgainSaysSoAndGoesOnThen() {
    start(4, 1);
    moveThatHangs();
    var second = move(DB, MigrateOptions.defaults());
    awaitNote("takes in 1 containers already");
    nodes.pass(Duration.ofSeconds(20));
    awaitNote("takes in 1 containers already");
    nodes.cluster.network().heal();
    assertThat(TwoNodes.ended(second.get()).outcome()).isEqualTo(Result.COMPLETED);
    nodes.awaitKnown("b", TwoNodes.WEB, "b");
    assertThat(nodes.cluster.truth().violations()).isEmpty();
  }

  @Test
  void aMoveThatTheDestinationNeverHasRoomForIsRefusedAtItsDeadlineWithTheReason() {
    start(4, 1);
    moveThatHangs();
    var outcome = TwoNodes.ended(move(DB, MigrateOptions.defaults().withDeadline(Duration.ofSeconds(7))).get());
    assertThat(outcome.outcome()).isEqualTo(Result.REFUSED);
    assertThat(outcome.reason()).contains("deadline of 7000 ms").contains("takes in 1 containers already");
    nodes.awaitList("a", all -> all.stream().anyMatch(info -> info.name().equals(DB) && info.status() == Status.RUNNING));
  }
}
