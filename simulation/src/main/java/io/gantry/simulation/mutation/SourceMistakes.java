package io.gantry.simulation.mutation;

import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.migration.SourceRules;
import io.gantry.actors.migration.SourceTransition;
import io.gantry.actors.migration.SourceTransition.Action;
import io.gantry.actors.migration.SourceTransition.Activating;
import io.gantry.actors.migration.SourceTransition.AwaitingReady;
import io.gantry.actors.migration.SourceTransition.CancelRequested;
import io.gantry.actors.migration.SourceTransition.Destroying;
import io.gantry.actors.migration.SourceTransition.Freezing;
import io.gantry.actors.migration.SourceTransition.LedgerFailed;
import io.gantry.actors.migration.SourceTransition.PeerLost;
import io.gantry.actors.migration.SourceTransition.Ready;
import io.gantry.actors.migration.SourceTransition.Releasing;
import io.gantry.actors.migration.SourceTransition.RollingBack;
import io.gantry.actors.migration.SourceTransition.SendingLast;
import io.gantry.actors.migration.SourceTransition.Step;
import io.gantry.actors.migration.SourceTransition.Terms;
import io.gantry.actors.migration.SourceTransition.Timer;
import io.gantry.actors.migration.SourceTransition.TimerFired;
import io.gantry.actors.protocol.PeerMessage.Standing;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;

/** Mistakes that the source of a move could make. */
final class SourceMistakes {
  private SourceMistakes() {}

  static List<Mutation> all() {
    return List.of(
        mistake(
            "thaw-after-released",
            "The source thaws when the destination has not confirmed for long.",
            (right, phase, event) ->
                phase instanceof Activating(var terms, var digest, var _, var _) && event.equals(new TimerFired(Timer.IN_DOUBT))
                    ? rollBack(right, terms, digest)
                    : right.transition(phase, event)),
        mistake(
            "cancel-after-released",
            "The source grants a cancel after RELEASED.",
            (right, phase, event) ->
                phase instanceof Activating(var terms, var digest, var _, var _) && event instanceof CancelRequested
                    ? rollBack(right, terms, digest)
                    : right.transition(phase, event)),
        mistake(
            "thaw-when-peer-lost",
            "The source thaws after RELEASED when the destination is said to be unreachable.",
            (right, phase, event) ->
                phase instanceof Activating(var terms, var digest, var _, var _) && event instanceof PeerLost
                    ? rollBack(right, terms, digest)
                    : right.transition(phase, event)),
        mistake(
            "take-back-unasked",
            "The source takes the container back after four unanswered Activates, without the destination's word.",
            (right, phase, event) ->
                phase instanceof Activating(var terms, var _, var sent, var _) && sent >= 4
                        && event.equals(new TimerFired(Timer.STEP))
                    ? right.transition(
                        phase, new SourceTransition.Answered(Standing.NEVER_OWNED, terms.ledgerId()))
                    : right.transition(phase, event)),
        mistake(
            "activate-before-released",
            "The source sends Activate while RELEASED is still being written.",
            (right, phase, event) -> {
              var step = right.transition(phase, event);
              return step.phase() instanceof Releasing(var terms, var digest) && !(phase instanceof Releasing)
                  ? with(step, new Action.SendActivate(terms, digest))
                  : step;
            }),
        mistake(
            "unknown-is-not-written",
            "The source takes a RELEASED that may or may not be on disk for one that is not.",
            (right, phase, event) ->
                phase instanceof Releasing && event instanceof LedgerFailed(var reason, var _)
                    ? right.transition(phase, new LedgerFailed(reason, true))
                    : right.transition(phase, event)),
        mistake(
            "unknown-is-written",
            "The source takes a RELEASED that may or may not be on disk for one that is.",
            (right, phase, event) ->
                phase instanceof Releasing && event instanceof LedgerFailed
                    ? right.transition(phase, new SourceTransition.ReleasedWritten())
                    : right.transition(phase, event)),
        mistake(
            "forget-the-epoch",
            "The source forgets which epoch the copy will have.",
            (right, phase, event) ->
                event instanceof SourceTransition.Accepted(Terms(var _, var endpoint, var ledgerId))
                    ? right.transition(phase, new SourceTransition.Accepted(new Terms(1, endpoint, ledgerId)))
                    : right.transition(phase, event)),
        mistake("lose-the-digest-check", "The source does not compare the digests.", SourceMistakes::withoutDigests),
        mistake(
            "skip-the-freeze",
            "The source sends the last pages of a container that still runs.",
            (right, phase, event) -> {
              var step = right.transition(phase, event);
              return step.phase() instanceof Freezing && !(phase instanceof Freezing)
                  ? right.transition(step.phase(), new SourceTransition.Frozen())
                  : step;
            }),
        mistake(
            "skip-the-freezer",
            "The source does not hand the container to the freezer before RELEASED.",
            (right, phase, event) -> {
              var step = right.transition(phase, event);
              return step.phase() instanceof AwaitingReady(var terms, var digest, var held, var ready) && !held
                  ? new Step(
                      new AwaitingReady(terms, digest, true, ready), without(step, action -> action instanceof Action.Hold))
                  : step;
            }),
        mistake(
            "destroy-too-early",
            "The source removes the original as soon as RELEASED is on disk.",
            (right, phase, event) -> {
              var step = right.transition(phase, event);
              return step.phase() instanceof Activating && phase instanceof Releasing
                  ? with(step, new Action.DestroyOriginal())
                  : step;
            }),
        mistake(
            "rollback-without-resume",
            "The source rolls back and does not let the container run on.",
            (right, phase, event) -> {
              var step = right.transition(phase, event);
              return step.phase() instanceof RollingBack && !(phase instanceof RollingBack)
                  ? right.transition(step.phase(), new SourceTransition.Resumed())
                  : step;
            }),
        mistake(
            "activate-once",
            "The source sends Activate once and waits for ever.",
            (right, phase, event) ->
                phase instanceof Activating && event.equals(new TimerFired(Timer.STEP))
                    ? new Step(phase, List.of())
                    : right.transition(phase, event)),
        mistake(
            "never-forget",
            "The source ends without writing GONE.",
            (right, phase, event) ->
                phase instanceof Destroying && event instanceof SourceTransition.OriginalDestroyed
                    ? right.transition(new SourceTransition.Forgetting(1), new SourceTransition.GoneWritten())
                    : right.transition(phase, event)),
        mistake(
            "commit-without-ready",
            "The source writes RELEASED without waiting for the destination to be ready.",
            (right, phase, event) -> {
              var step = right.transition(phase, event);
              return step.phase() instanceof AwaitingReady(var _, var digest, var _, var ready) && ready.isEmpty()
                  ? followed(step, right.transition(step.phase(), new Ready(digest)))
                  : step;
            }));
  }

  private static Mutation mistake(String name, String sentence, Twist.OfSource twist) {
    return new Mutation(name, sentence, Twist.source(twist));
  }

  /** What the source does when it gives up before the commit. */
  private static Step rollBack(SourceRules right, Terms terms, String digest) {
    return right.transition(
        new AwaitingReady(terms, digest, true, Optional.empty()), new CancelRequested("The mistake " + Result.ROLLED_BACK));
  }

  static Step withoutDigests(SourceRules right, SourceTransition.Phase phase, SourceTransition.Event event) {
    return switch (event) {
      case Ready _ when phase instanceof AwaitingReady(var _, var digest, var _, var _) ->
          right.transition(phase, new Ready(digest));
      case Ready _ when phase instanceof SendingLast -> new Step(phase, List.of());
      case SourceTransition.OfEngine _, SourceTransition.OfPeer _, SourceTransition.OfLedger _, SourceTransition.OfUser _,
          TimerFired _ ->
          right.transition(phase, event);
    };
  }

  private static Step with(Step step, Action more) {
    var actions = new ArrayList<>(step.actions());
    actions.add(more);
    return new Step(step.phase(), actions);
  }

  private static List<Action> without(Step step, Predicate<Action> which) {
    return step.actions().stream().filter(which.negate()).toList();
  }

  private static Step followed(Step first, Step second) {
    var actions = new ArrayList<>(first.actions());
    actions.addAll(second.actions());
    return new Step(second.phase(), actions);
  }
}
