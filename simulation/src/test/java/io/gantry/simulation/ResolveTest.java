package io.gantry.simulation;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.actors.ContainerInfo.Status;
import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.NodeCommand.Problem;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.ledger.LedgerException;
import io.gantry.actors.protocol.PeerMessage;
import java.time.Duration;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/**
 * A host does not come back, a person says so, and the other one goes on with the container. Then it does come back, and what
 * it has of the container goes.
 */
class ResolveTest extends OnTwoNodes {
  /** Until a node has heard of what its ledger has just written. */
  private static final Duration HEARD = Duration.ofMillis(100);

  private void switchOff(String host) {
    nodes.cluster.switchOff(host, new SplittableRandom(1));
  }

  private NodeCommand.ResolveReply resolve(String asked, String hostOff) {
    TwoNodes.Answer<NodeCommand.ResolveReply> answer =
        nodes.ask(asked, replyTo -> new NodeCommand.ResolveContainer(TwoNodes.WEB, hostOff, replyTo));
    return answer.get();
  }

  private void assertRefused(String asked, String hostOff, Problem problem, String words) {
    assertThat(resolve(asked, hostOff))
        .isInstanceOfSatisfying(
            NodeCommand.Rejected.class,
            rejected -> {
              assertThat(rejected.problem()).isEqualTo(problem);
              assertThat(rejected.sentence()).contains(words);
            });
  }

  private LedgerEntry ledger(String host) {
    return nodes.cluster.ledger(host).stream().filter(entry -> entry.container().equals(TwoNodes.WEB)).findFirst().orElseThrow();
  }

  /** Until it is the only one and the other host's ledger says that nothing of it is there. */
  private void awaitOnlyWithoutJudgement(String host, String other) {
    nodes.await(
        () ->
            nodes.cluster.truth().copies(TwoNodes.WEB).equals(List.of(host + ": RUNNING"))
                && nodes.cluster.truth().directories(other).isEmpty() && ledger(other).status() == LedgerEntry.Status.GONE);
  }

  // ── the destination is off ───────────────────────────────────────────────────────────────────────────────────────

  @Test
  void theSourceTakesTheContainerBackWhenAPersonSaysThatTheDestinationIsOffAndAHeldCopyThatComesBackIsGone() {
    nodes.points.at("a ledger.RELEASED.written", () -> switchOff("b"));
    assertThat(nodes.move().outcome()).isEqualTo(Result.IN_DOUBT);
    assertThat(nodes.cluster.truth().runningOn(TwoNodes.WEB)).isEmpty();
    nodes.cluster.network().tellPeers();
    assertThat(resolve("a", "b")).isEqualTo(new NodeCommand.Resolved(TwoNodes.WEB, "a", 3));
    assertThat(ledger("a").status()).isEqualTo(LedgerEntry.Status.OWNED);
    nodes.awaitKnown("a", TwoNodes.WEB, "a");
    nodes.cluster.start("b");
    nodes.awaitOnly("a");
    nodes.awaitKnown("b", TwoNodes.WEB, "a");
  }

  @Test
  void aDestinationThatOwnedAndRanItsCopyGivesWayWhenItComesBack() {
    nodes.cluster.network().lose(message -> message instanceof PeerMessage.Activated);
    var move = nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.await(() -> nodes.cluster.truth().runningOn(TwoNodes.WEB).equals(List.of("b")));
    switchOff("b");
    assertThat(TwoNodes.ended(move.get()).outcome()).isEqualTo(Result.IN_DOUBT);
    nodes.cluster.network().heal();
    nodes.cluster.network().tellPeers();
    assertThat(resolve("a", "b")).isEqualTo(new NodeCommand.Resolved(TwoNodes.WEB, "a", 3));
    nodes.cluster.start("b");
    nodes.await(() -> nodes.cluster.isUp("b"));
    nodes.cluster.network().tellPeers();
    awaitOnlyWithoutJudgement("a", "b");
    nodes.awaitKnown("b", TwoNodes.WEB, "a");
    assertThat(nodes.move().outcome()).as("the name is free there again").isEqualTo(Result.COMPLETED);
  }

  @Test
  void aDestinationThatWasOnlyCutOffDiscardsItsHeldCopyWhenTheLinkIsBack() {
    nodes.points.at("a ledger.RELEASED.written", () -> nodes.cut(true));
    assertThat(nodes.move().outcome()).isEqualTo(Result.IN_DOUBT);
    assertThat(resolve("a", "b")).isInstanceOf(NodeCommand.Resolved.class);
    nodes.cluster.network().heal();
    nodes.cluster.network().tellPeers();
    nodes.awaitOnly("a");
  }

  @Test
  void aDestinationThatRunsItsCopyAgainstAPersonsWordGivesWayWhenTheTwoMeet() {
    nodes.points.at("b ledger.OWNED.written", () -> nodes.cut(true));
    assertThat(nodes.move().outcome()).isEqualTo(Result.IN_DOUBT);
    assertThat(resolve("a", "b")).isInstanceOf(NodeCommand.Resolved.class);
    assertThat(nodes.cluster.truth().runningOn(TwoNodes.WEB)).as("the person was wrong").containsExactlyInAnyOrder("a", "b");
    nodes.cluster.network().heal();
    nodes.cluster.network().tellPeers();
    awaitOnlyWithoutJudgement("a", "b");
  }

  @Test
  void nothingRunsBeforeTheLedgerSaysSo() {
    nodes.points.at("a ledger.RELEASED.written", () -> switchOff("b"));
    nodes.move();
    nodes.cluster.network().tellPeers();
    nodes.points.at(
        "a ledger.OWNED",
        () -> {
          throw new LedgerException("The disk is full.", false);
        });
    nodes.points.at(
        "a ledger.OWNED.written",
        () -> assertThat(nodes.cluster.truth().copies(TwoNodes.WEB)).containsExactly("a: FROZEN"));
    assertThat(resolve("a", "b")).isInstanceOf(NodeCommand.Resolved.class);
    nodes.cluster.start("b");
    nodes.awaitOnly("a");
  }

  @Test
  void aSourceThatWasStartedAnewCanBeResolvedToo() {
    nodes.points.at("a ledger.RELEASED.written", () -> switchOff("b"));
    nodes.move();
    nodes.cluster.kill("a");
    nodes.cluster.start("a");
    nodes.await(() -> nodes.cluster.isUp("a"));
    nodes.awaitList("a", all -> !all.isEmpty() && all.getFirst().status() != Status.RUNNING);
    nodes.cluster.network().tellPeers();
    assertThat(resolve("a", "b")).isEqualTo(new NodeCommand.Resolved(TwoNodes.WEB, "a", 3));
    nodes.cluster.start("b");
    nodes.awaitOnly("a");
  }

  // ── the source is off ────────────────────────────────────────────────────────────────────────────────────────────

  @Test
  void aHeldCopyRunsWhenAPersonSaysThatTheSourceIsOffAndASourceThatComesBackReleasedRemovesItsOwn() {
    nodes.cluster.network().lose(message -> message instanceof PeerMessage.Activate || message instanceof PeerMessage.Answer);
    nodes.points.at("a ledger.RELEASED.written", () -> switchOff("a"));
    nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.await(() -> nodes.points.pending().isEmpty());
    nodes.cluster.network().heal();
    nodes.cluster.network().tellPeers();
    assertThat(nodes.cluster.truth().runningOn(TwoNodes.WEB)).isEmpty();
    nodes.awaitList(
        "b", all -> all.getFirst().note().contains("Node b holds a complete copy, frozen, and waits for node a"));
    assertThat(resolve("b", "a")).isEqualTo(new NodeCommand.Resolved(TwoNodes.WEB, "b", 2));
    nodes.cluster.start("a");
    nodes.await(() -> nodes.cluster.isUp("a"));
    nodes.cluster.network().tellPeers();
    awaitOnlyWithoutJudgement("b", "a");
    nodes.awaitKnown("a", TwoNodes.WEB, "b");
  }

  @Test
  void aSourceThatComesBackOwningTheContainerGivesWayToTheCopyThatAPersonLetRun() {
    nodes.points.at("b ledger.HELD.written", () -> switchOff("a"));
    nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.await(() -> nodes.points.pending().isEmpty());
    nodes.cluster.network().tellPeers();
    nodes.pass(HEARD);
    assertThat(resolve("b", "a")).isEqualTo(new NodeCommand.Resolved(TwoNodes.WEB, "b", 2));
    nodes.cluster.start("a");
    nodes.await(() -> nodes.cluster.isUp("a"));
    nodes.cluster.network().tellPeers();
    awaitOnlyWithoutJudgement("b", "a");
    nodes.awaitKnown("a", TwoNodes.WEB, "b");
  }

  @Test
  void aSourceThatWasOnlyCutOffAndRolledBackGivesWayWhenTheTwoMeet() {
    nodes.points.at("b ledger.HELD.written", () -> nodes.cut(true));
    assertThat(nodes.move().outcome()).isEqualTo(Result.ROLLED_BACK);
    nodes.pass(HEARD);
    assertThat(resolve("b", "a")).isInstanceOf(NodeCommand.Resolved.class);
    assertThat(nodes.cluster.truth().runningOn(TwoNodes.WEB)).as("the person was wrong").containsExactlyInAnyOrder("a", "b");
    nodes.cluster.network().heal();
    nodes.cluster.network().tellPeers();
    awaitOnlyWithoutJudgement("b", "a");
  }

  // ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────

  @Test
  void whatIsNotInDoubtIsNotResolved() {
    assertRefused("a", "b", Problem.NOT_IN_DOUBT, "it is in no move");
    assertRefused("b", "a", Problem.NOT_IN_DOUBT, "is on node a itself");
    TwoNodes.Answer<NodeCommand.ResolveReply> unknown =
        nodes.ask("b", replyTo -> new NodeCommand.ResolveContainer("nobody", "a", replyTo));
    assertThat(unknown.get())
        .isInstanceOfSatisfying(NodeCommand.Rejected.class, rejected -> assertThat(rejected.problem())
        .isEqualTo(Problem.UNKNOWN_CONTAINER));
  }

  @Test
  void aHostThatCanBeReachedIsNotOffAndAnotherHostDoesNotCount() {
    nodes.cluster.network().lose(message -> message instanceof PeerMessage.Activate || message instanceof PeerMessage.Answer);
    assertThat(nodes.move().outcome()).isEqualTo(Result.IN_DOUBT);
    assertRefused("a", "b", Problem.NOT_IN_DOUBT, "can be reached right now");
    assertRefused("a", "zeta", Problem.NOT_IN_DOUBT, "has to do with node b, not with zeta");
    assertThat(nodes.cluster.truth().runningOn(TwoNodes.WEB)).isEmpty();
    nodes.cluster.network().heal();
    nodes.awaitOnly("b");
  }

  @Test
  void aMoveBeforeItsCommitIsNotInDoubt() {
    nodes.cluster.network().lose(message -> message instanceof PeerMessage.Accepted);
    var move = nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.awaitList("a", all -> all.getFirst().status() == Status.MIGRATING);
    assertRefused("a", "b", Problem.NOT_IN_DOUBT, "can be reached right now");
    TwoNodes.ended(move.get());
    nodes.cluster.network().heal();
    nodes.awaitOnly("a");
  }
}
