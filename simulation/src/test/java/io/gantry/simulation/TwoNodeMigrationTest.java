package io.gantry.simulation;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.actors.ContainerInfo;
import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.NodeCommand.Problem;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.ledger.LedgerException;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.actors.protocol.ProtocolVersion;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.Finding;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The real actors of two nodes move a container, with a fault at each place. After each, exactly one copy runs and nothing is
 * left behind.
 */
class TwoNodeMigrationTest extends OnTwoNodes {
  private void fail(String point) {
    nodes.points.at(
        point,
        () -> {
          throw new CheckpointException("Something broke.");
        });
  }

  private void failLedger(String point, boolean certain) {
    nodes.points.at(
        point,
        () -> {
          throw new LedgerException("The disk is full.", certain);
        });
  }

  @Test
  void aContainerMovesThereAndBackAndNothingIsLeft() {
    for (var i = 0; i < 3; i++) {
      var there = nodes.move();
      assertThat(there.outcome()).isEqualTo(Result.COMPLETED);
      assertThat(there.rounds()).isNotEmpty();
      assertThat(there.bytesSent()).isPositive();
      assertThat(there.pauseMs()).isPositive();
      var parts = there.phasesMs();
      assertThat(parts.freeze() + parts.lastPages() + parts.state() + parts.transfer() + parts.recreate() + parts.commit()
          + parts.resume())
          .isLessThanOrEqualTo(there.pauseMs() * 1.5 + 1);
      nodes.awaitOnly("b");
      nodes.awaitKnown("a", TwoNodes.WEB, "b");
      // Asked of the node where it is not.
      var back = TwoNodes.ended(nodes.beginMove("a", "a", MigrateOptions.defaults()).get());
      assertThat(back.outcome()).isEqualTo(Result.COMPLETED);
      nodes.awaitOnly("a");
      nodes.awaitKnown("b", TwoNodes.WEB, "a");
    }
    assertThat(nodes.list("a")).singleElement().satisfies(info -> assertThat(info.epoch()).isEqualTo(7));
  }

  /** The container can be seen to run at its new place before the old one is rid of it. */
  @Test
  void aMoveBackThatIsAskedWhileTheOriginalIsStillThereWaitsForItsEnd() {
    var back = new AtomicReference<TwoNodes.Answer<NodeCommand.MigrateReply>>();
    nodes.points.at(
        "a capture.destroyOriginal",
        () -> {
          back.set(nodes.beginMove("b", "a", MigrateOptions.defaults()));
          throw new CheckpointException("Something broke.");
        });
    assertThat(nodes.move().outcome()).isEqualTo(Result.COMPLETED);
    var outcome = TwoNodes.ended(back.get().get());
    assertThat(outcome.outcome()).as(outcome.reason()).isEqualTo(Result.COMPLETED);
    nodes.awaitOnly("a");
  }

  @Test
  void aDestinationThatIsStartedAnewBeforeItHasAnsweredIsAskedAgain() {
    nodes.points.at(
        "b preflight",
        () -> {
          nodes.cluster.kill("b");
          nodes.cluster.start("b");
        });
    var outcome = nodes.move();
    assertThat(outcome.outcome()).as(outcome.reason()).isEqualTo(Result.COMPLETED);
    nodes.awaitOnly("b");
  }

  @Test
  void aMoveThatIsAskedWhileTheAgentTakesItsContainerUpBegins() {
    nodes.cluster.kill("a");
    nodes.cluster.start("a");
    nodes.await(() -> nodes.cluster.isUp("a"));
    nodes.cluster.network().tellPeers();
    assertThat(nodes.move().outcome()).isEqualTo(Result.COMPLETED);
    nodes.awaitOnly("b");
  }

  @Test
  void doubledMessagesDoNoHarm() {
    nodes.cluster.network().doubleAll();
    assertThat(nodes.move().outcome()).isEqualTo(Result.COMPLETED);
    nodes.awaitOnly("b");
  }

  @Test
  void aRefusalNamesEveryReasonAndTouchesNothing() {
    nodes.cluster.engine("b")
        .refuse(List.of(new Finding(0, -1, "memory", "is too small."), new Finding(0, -1, "file", "/lib/x is missing.")));
    var outcome = nodes.move();
    assertThat(outcome.outcome()).isEqualTo(Result.REFUSED);
    assertThat(outcome.reason()).contains("too small").contains("/lib/x");
    assertThat(outcome.pauseMs()).isZero();
    nodes.awaitOnly("a");
  }

  private static List<Finding> missing(String path) {
    return List.of(new Finding(0, -1, Finding.FILE, path + " does not exist on this host."));
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void filesThatAreGoneAtTheNextLookRefuseNoMove(boolean doubled) {
    nodes.cluster.engine("b").refuseOnce(missing("/tmp/a"));
    nodes.cluster.engine("b").refuseOnce(missing("/tmp/b"));
    if (doubled) {
      nodes.cluster.network().doubleAll();
    }
    var outcome = nodes.move();
    // A doubled refusal is one of two looks that say the same.
    assertThat(outcome.outcome()).as(outcome.reason()).isIn(doubled ? List.of(Result.COMPLETED, Result.REFUSED) : List.of(Result.COMPLETED));
    nodes.awaitOnly(outcome.outcome() == Result.COMPLETED ? "b" : "a");
  }

  @Test
  void aFileThatIsMissingInTwoLooksRefusesTheMove() {
    nodes.cluster.engine("b").refuse(missing("/lib/x"));
    var outcome = nodes.move();
    assertThat(outcome.outcome()).isEqualTo(Result.REFUSED);
    assertThat(outcome.reason()).contains("/lib/x");
    nodes.awaitOnly("a");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "a inspect", "a capture", "a capture.round", "a capture.freeze", "a capture.sendLast", "a capture.hold", "b preflight",
            "b receive", "b arrival.pages",
        "b arrival.complete"
      })
  void whateverFailsBeforeTheCommitTheContainerRunsOn(String point) {
    fail(point);
    var outcome = nodes.move();
    assertThat(outcome.outcome()).isIn(Result.ROLLED_BACK, Result.REFUSED);
    assertThat(outcome.reason()).contains("Something broke.");
    nodes.awaitOnly("a");
    var second = nodes.move();
    assertThat(second.outcome()).as("a second try succeeds and does not end with: %s", second.reason())
        .isEqualTo(Result.COMPLETED);
    nodes.awaitOnly("b");
  }

  @ParameterizedTest
  @ValueSource(strings = {"b ledger.ARRIVING", "b ledger.HELD", "a ledger.RELEASED"})
  void aFullDiskBeforeTheCommitRollsBack(String point) {
    failLedger(point, true);
    var outcome = nodes.move();
    assertThat(outcome.outcome()).isIn(Result.ROLLED_BACK, Result.REFUSED);
    assertThat(outcome.reason()).contains("The disk is full.");
    nodes.awaitOnly("a");
  }

  @Test
  void aReleaseThatMayOrMayNotBeOnDiskIsUnsaidBeforeAnythingRuns() {
    failLedger("a ledger.RELEASED", false);
    failLedger("a ledger.OWNED", true);
    assertThat(nodes.move().outcome()).isEqualTo(Result.ROLLED_BACK);
    nodes.awaitOnly("a");
    assertThat(nodes.list("a")).singleElement().satisfies(info -> assertThat(info.epoch()).isEqualTo(3));
  }

  @ParameterizedTest
  @ValueSource(strings = {"b ledger.OWNED", "a ledger.GONE"})
  void aFullDiskAfterTheCommitIsTriedAgain(String point) {
    failLedger(point, true);
    assertThat(nodes.move().outcome()).isEqualTo(Result.COMPLETED);
    nodes.awaitOnly("b");
  }

  @ParameterizedTest
  @ValueSource(strings = {"b arrival.activate", "a capture.destroyOriginal"})
  void afterTheCommitFailuresAreOvercome(String point) {
    fail(point);
    assertThat(nodes.move().outcome()).isEqualTo(Result.COMPLETED);
    nodes.awaitOnly("b");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "b preflight", "b ledger.ARRIVING.written", "b receive", "a capture.round", "a capture.freeze", "a capture.sendLast",
            "b arrival.complete",
        "b ledger.HELD", "b ledger.HELD.written"
      })
  void whenTheDestinationDiesBeforeTheCommitTheContainerRunsOnWithinASecond(String point) {
    nodes.points.at(point, () -> nodes.cluster.kill("b"));
    var probe = nodes.beginMove("a", "b", MigrateOptions.defaults().withDeadline(Duration.ofSeconds(3)));
    nodes.await(() -> nodes.points.pending().isEmpty());
    nodes.await(Duration.ofMillis(1500), () -> nodes.cluster.truth().runningOn(TwoNodes.WEB).equals(List.of("a")));
    assertThat(TwoNodes.ended(probe.get()).outcome()).isIn(Result.ROLLED_BACK, Result.REFUSED);
    nodes.cluster.start("b");
    nodes.awaitOnly("a");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "a inspect", "a capture", "a capture.round", "a capture.freeze", "a capture.sendLast", "a capture.hold",
            "a ledger.RELEASED", "b arrival.complete",
        "b ledger.HELD.written"
      })
  void whenTheSourceAgentDiesBeforeTheCommitTheContainerRunsOnAndTheCopyIsDiscarded(String point) {
    nodes.points.at(point, () -> nodes.cluster.kill("a"));
    nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.await(() -> nodes.points.pending().isEmpty());
    nodes.cluster.start("a");
    nodes.awaitOnly("a");
    nodes.awaitKnown("a", TwoNodes.WEB, "a");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"a ledger.RELEASED.written", "b ledger.OWNED", "b ledger.OWNED.written", "b arrival.activate",
          "a capture.destroyOriginal"})
  void whenTheSourceAgentDiesAfterTheCommitTheMoveIsFinished(String point) {
    nodes.points.at(point, () -> nodes.cluster.kill("a"));
    nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.await(() -> nodes.points.pending().isEmpty());
    nodes.cluster.start("a");
    nodes.awaitOnly("b");
  }

  @ParameterizedTest
  @ValueSource(strings = {"a ledger.RELEASED.written", "b ledger.OWNED", "b ledger.OWNED.written", "b arrival.activate"})
  void whenTheDestinationAgentDiesAfterTheCommitItFinishesWhenItIsBack(String point) {
    nodes.points.at(point, () -> nodes.cluster.kill("b"));
    nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.await(() -> nodes.points.pending().isEmpty());
    nodes.cluster.start("b");
    nodes.awaitOnly("b");
  }

  @Test
  void aLostActivateLeavesTheMoveInDoubtUntilTheLinkIsBack() {
    nodes.cluster.network().lose(message -> message instanceof PeerMessage.Activate || message instanceof PeerMessage.Answer);
    var outcome = nodes.move();
    assertThat(outcome.outcome()).isEqualTo(Result.IN_DOUBT);
    assertThat(outcome.reason()).contains("has not confirmed");
    assertThat(nodes.cluster.truth().copies(TwoNodes.WEB)).containsExactlyInAnyOrder("a: FROZEN", "b: FROZEN");
    nodes.awaitList("a", all -> all.getFirst().status() == ContainerInfo.Status.IN_DOUBT);
    nodes.cluster.network().heal();
    nodes.awaitOnly("b");
  }

  @Test
  void aLostActivatedIsAskedForAgain() {
    nodes.cluster.network().lose(message -> message instanceof PeerMessage.Activated);
    var probe = nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.await(() -> nodes.cluster.truth().runningOn(TwoNodes.WEB).equals(List.of("b")));
    nodes.cluster.network().heal();
    assertThat(TwoNodes.ended(probe.get()).outcome()).isEqualTo(Result.COMPLETED);
    nodes.awaitOnly("b");
  }

  @Test
  void aDestinationThatLostItsCopyBeforeOwningItGivesTheContainerBack() {
    nodes.points.at(
        "a ledger.RELEASED.written",
        () -> {
          nodes.cluster.kill("b");
          nodes.cluster.truth().loseCopies("b");
        });
    var probe = nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.await(() -> nodes.points.pending().isEmpty());
    assertThat(nodes.cluster.truth().copies(TwoNodes.WEB)).containsExactly("a: FROZEN");
    nodes.cluster.start("b");
    assertThat(TwoNodes.ended(probe.get()).outcome()).isEqualTo(Result.ROLLED_BACK);
    nodes.awaitOnly("a");
  }

  @Test
  void aLinkThatIsCutDuringTheFreezeRollsBackWithinASecond() {
    nodes.points.at("b arrival.complete", () -> nodes.cut(false));
    var probe = nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.await(() -> nodes.points.pending().isEmpty());
    nodes.await(Duration.ofMillis(1500), () -> nodes.cluster.truth().runningOn(TwoNodes.WEB).equals(List.of("a")));
    assertThat(TwoNodes.ended(probe.get()).outcome()).isEqualTo(Result.ROLLED_BACK);
    nodes.cluster.network().heal();
    nodes.awaitOnly("a");
  }

  @Test
  void aMoveCanBeCancelledUntilTheCommit() {
    nodes.cluster.network().lose(message -> message instanceof PeerMessage.Accepted);
    var probe = nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.awaitList("a", all -> all.getFirst().status() == ContainerInfo.Status.MIGRATING);
    TwoNodes.Answer<NodeCommand.MigrateReply> second = nodes.beginMove("b", "b", MigrateOptions.defaults());
    assertThat(second.get())
        .isInstanceOfSatisfying(NodeCommand.Rejected.class, rejected -> assertThat(rejected.problem()).isEqualTo(Problem.BUSY));
    TwoNodes.Answer<NodeCommand.CancelReply> cancelled =
        nodes.ask("a", replyTo -> new NodeCommand.CancelMigration(TwoNodes.WEB, replyTo));
    assertThat(cancelled.get()).isInstanceOf(NodeCommand.CancelAccepted.class);
    assertThat(TwoNodes.ended(probe.get()).reason()).contains("cancelled");
    nodes.awaitOnly("a");
  }

  @Test
  void commandsThatCannotBeCarriedOutSayWhy() {
    assertProblem(nodes.beginMove("a", "a", MigrateOptions.defaults()), Problem.INVALID_ARGUMENT, "is on node a already");
    assertProblem(nodes.beginMove("a", "zeta", MigrateOptions.defaults()), Problem.UNKNOWN_NODE, "no node zeta");
    nodes.cut(true);
    assertProblem(nodes.beginMove("a", "b", MigrateOptions.defaults()), Problem.NODE_UNREACHABLE, "cannot be reached");
    nodes.cluster.network().heal();
    nodes.cluster.network().speak(new ProtocolVersion(2, 0));
    assertProblem(nodes.beginMove("a", "b", MigrateOptions.defaults()), Problem.NODE_UNREACHABLE, "version 2.0 of the protocol");
    TwoNodes.Answer<NodeCommand.StopReply> stopped =
        nodes.ask("b", replyTo -> new NodeCommand.StopContainer("nobody", replyTo));
    assertThat(stopped.get())
        .isInstanceOfSatisfying(NodeCommand.Rejected.class, rejected -> assertThat(rejected.problem())
        .isEqualTo(Problem.UNKNOWN_CONTAINER));
    TwoNodes.Answer<NodeCommand.RunReply> run =
        nodes.ask("b", replyTo ->
            new NodeCommand.RunContainer(TwoNodes.WEB, Optional.of("b"), List.of("x"), Map.of(), "/", replyTo));
    assertThat(run.get())
        .isInstanceOfSatisfying(NodeCommand.Rejected.class, rejected -> assertThat(rejected.problem())
        .isEqualTo(Problem.NAME_TAKEN));
  }

  private static void assertProblem(TwoNodes.Answer<NodeCommand.MigrateReply> probe, Problem problem, String words) {
    assertThat(probe.get())
        .isInstanceOfSatisfying(
            NodeCommand.Rejected.class,
            rejected -> {
              assertThat(rejected.problem()).isEqualTo(problem);
              assertThat(rejected.sentence()).contains(words);
            });
  }

  @Test
  void aContainerThatCannotBeStartedLeavesNothing() {
    fail("b create");
    TwoNodes.Answer<NodeCommand.RunReply> run =
        nodes.ask("a", replyTo ->
            new NodeCommand.RunContainer("db", Optional.of("b"), List.of("x"), Map.of(), "/", replyTo));
    assertThat(run.get())
        .isInstanceOfSatisfying(NodeCommand.Rejected.class, rejected -> assertThat(rejected.sentence())
        .contains("Something broke."));
    assertThat(nodes.cluster.truth().directories("b")).isEmpty();
    nodes.run("db", "b");
  }

  @Test
  void anExitIsNoticedAndStopRemovesTheRest() {
    nodes.cluster.truth().exit(TwoNodes.WEB, 3);
    nodes.awaitList("b", all -> all.getFirst().status() == ContainerInfo.Status.EXITED);
    assertThat(nodes.list("b").getFirst().note()).contains("exit status 3");
    assertProblem(nodes.beginMove("a", "b", MigrateOptions.defaults()), Problem.EXITED, "has ended");
    TwoNodes.Answer<NodeCommand.StopReply> stopped =
        nodes.ask("b", replyTo -> new NodeCommand.StopContainer(TwoNodes.WEB, replyTo));
    assertThat(stopped.get()).isInstanceOf(NodeCommand.Stopped.class);
    assertThat(nodes.cluster.truth().directories("a")).isEmpty();
    nodes.awaitList("b", List::isEmpty);
  }

  @Test
  void aContainerHasAnActorForEachProcessAndAConsole() {
    TwoNodes.Answer<NodeCommand.DescribeReply> described =
        nodes.ask("b", replyTo -> new NodeCommand.DescribeContainer(TwoNodes.WEB, replyTo));
    assertThat(described.get())
        .isInstanceOfSatisfying(
            NodeCommand.Description.class,
            description -> assertThat(description.processes()).singleElement()
                .satisfies(one -> assertThat(one.containerPid()).isEqualTo(1)));
    TwoNodes.Answer<NodeCommand.ConsoleReply> console =
        nodes.ask("b", replyTo -> new NodeCommand.ReadConsole(TwoNodes.WEB, 0, 100, replyTo));
    assertThat(console.get())
        .isInstanceOfSatisfying(NodeCommand.ConsoleChunk.class, chunk -> assertThat(new String(chunk.bytes()))
        .isEqualTo("console of web\n"));
  }

  @Test
  void aCopyThatIsGoneAndCouldNotBeCrossedOutDoesNotKeepTheContainerAway() {
    fail("b arrival.complete");
    failLedger("b ledger.GONE", true);
    assertThat(nodes.move().outcome()).isEqualTo(Result.ROLLED_BACK);
    nodes.await(() -> nodes.points.pending().isEmpty());
    nodes.awaitOnly("a");
    assertThat(nodes.move().outcome()).as("without b's agent being started anew").isEqualTo(Result.COMPLETED);
    nodes.awaitOnly("b");
  }

  @Test
  void aStoppedContainerThatCouldNotBeCrossedOutGivesItsNameBack() {
    failLedger("a ledger.GONE", true);
    TwoNodes.Answer<NodeCommand.StopReply> stopped =
        nodes.ask("a", replyTo -> new NodeCommand.StopContainer(TwoNodes.WEB, replyTo));
    nodes.cluster.truth().mayEnd(TwoNodes.WEB);
    assertThat(stopped.get()).isInstanceOf(NodeCommand.Stopped.class);
    nodes.awaitList("a", List::isEmpty);
    nodes.await(() -> nodes.cluster.ledger("a").getFirst().status() == LedgerEntry.Status.GONE);
    nodes.pass(Duration.ofMillis(10)); // until the node has heard of it
    nodes.run(TwoNodes.WEB, "a");
  }
}
