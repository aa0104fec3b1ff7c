package io.gantry.simulation;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.NodeCommand.Problem;
import io.gantry.actors.protocol.PeerMessage;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A move is called off, at every place. */
class CancelTest extends OnTwoNodes {
  private TwoNodes.Answer<NodeCommand.CancelReply> cancel(String asked, String container) {
    return nodes.ask(asked, replyTo -> new NodeCommand.CancelMigration(container, replyTo));
  }

  private static void assertRefused(NodeCommand.CancelReply reply, Problem problem, String words) {
    assertThat(reply)
        .isInstanceOfSatisfying(
            NodeCommand.Rejected.class,
            rejected -> {
              assertThat(rejected.problem()).isEqualTo(problem);
              assertThat(rejected.sentence()).contains(words);
            });
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "a inspect", "b preflight", "b ledger.ARRIVING", "b receive", "a capture", "a capture.round", "a capture.freeze",
            "a capture.sendLast", "a capture.hold", "b arrival.complete"
      })
  void beforeTheCommitTheContainerRunsOnWhenTheCancelIsAnsweredAndTheMoverIsToldWhy(String point) {
    var answer = new Object() {
      TwoNodes.Answer<NodeCommand.CancelReply> cancelled;
    };
    nodes.points.at(point, () -> answer.cancelled = cancel("b", TwoNodes.WEB));
    var move = nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.await(() -> answer.cancelled != null);
    assertThat(answer.cancelled.get()).isEqualTo(new NodeCommand.CancelAccepted(TwoNodes.WEB));
    assertThat(nodes.cluster.truth().runningOn(TwoNodes.WEB)).containsExactly("a");
    var outcome = TwoNodes.ended(move.get());
    assertThat(outcome.outcome()).isEqualTo(Result.ROLLED_BACK);
    assertThat(outcome.reason()).contains("cancelled");
    nodes.awaitOnly("a");
    assertThat(nodes.move().outcome()).isEqualTo(Result.COMPLETED);
  }

  @Test
  void afterTheCommitItIsTooLateAndThatIsSaid() {
    nodes.cluster.network().lose(message -> message instanceof PeerMessage.Activate || message instanceof PeerMessage.Answer);
    assertThat(nodes.move().outcome()).isEqualTo(Result.IN_DOUBT);
    assertRefused(cancel("b", TwoNodes.WEB).get(), Problem.NOTHING_TO_CANCEL, "has passed its commit");
    assertThat(nodes.cluster.truth().runningOn(TwoNodes.WEB)).isEmpty();
    nodes.cluster.network().heal();
    nodes.awaitOnly("b");
  }

  @ParameterizedTest
  @ValueSource(strings = {"a", "b"})
  void whatIsInNoMoveOrUnknownIsSaid(String asked) {
    assertRefused(cancel(asked, TwoNodes.WEB).get(), Problem.NOTHING_TO_CANCEL, "is in no move");
    assertRefused(cancel(asked, "nobody").get(), Problem.UNKNOWN_CONTAINER, "no container nobody");
  }

  @Test
  void manyCancelsOfOneMoveAreAllAnswered() {
    nodes.cluster.network().lose(message -> message instanceof PeerMessage.Accepted);
    var move = nodes.beginMove("a", "b", MigrateOptions.defaults());
    nodes.awaitList("a", all -> all.getFirst().status() == io.gantry.actors.ContainerInfo.Status.MIGRATING);
    var answers = List.of(cancel("a", TwoNodes.WEB), cancel("a", TwoNodes.WEB));
    assertThat(answers.getFirst().get()).isInstanceOf(NodeCommand.CancelAccepted.class);
    assertThat(answers.getLast().get()).isNotNull();
    assertThat(TwoNodes.ended(move.get()).outcome()).isEqualTo(Result.ROLLED_BACK);
    nodes.awaitOnly("a");
  }
}
