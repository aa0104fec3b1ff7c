package io.gantry.simulation.mutation;

import io.gantry.actors.PageLinks.Endpoint;
import io.gantry.actors.migration.DestinationRules;
import io.gantry.actors.migration.DestinationTransition;
import io.gantry.actors.migration.DestinationTransition.Action;
import io.gantry.actors.migration.DestinationTransition.ActivateAsked;
import io.gantry.actors.migration.DestinationTransition.Answered;
import io.gantry.actors.migration.DestinationTransition.DiscardAsked;
import io.gantry.actors.migration.DestinationTransition.Discarding;
import io.gantry.actors.migration.DestinationTransition.Holding;
import io.gantry.actors.migration.DestinationTransition.LedgerFailed;
import io.gantry.actors.migration.DestinationTransition.Owning;
import io.gantry.actors.migration.DestinationTransition.PeerLost;
import io.gantry.actors.migration.DestinationTransition.Recreating;
import io.gantry.actors.migration.DestinationTransition.RecordingHeld;
import io.gantry.actors.migration.DestinationTransition.Starting;
import io.gantry.actors.migration.DestinationTransition.Step;
import io.gantry.actors.migration.DestinationTransition.Timer;
import io.gantry.actors.migration.DestinationTransition.TimerFired;
import io.gantry.actors.protocol.PeerMessage.Standing;
import java.util.ArrayList;
import java.util.List;

/** Mistakes that the destination of a move could make. */
final class DestinationMistakes {
  private DestinationMistakes() {}

  static List<Mutation> all() {
    return List.of(
        mistake(
            "run-on-time-out-after-ready",
            "The destination takes silence after Ready for an Activate.",
            (right, phase, event) ->
                phase instanceof Holding(var _, var asked) && asked >= 3 && event.equals(new TimerFired(Timer.STEP))
                    ? right.transition(phase, new Answered(Standing.RELEASED))
                    : right.transition(phase, event)),
        mistake(
            "run-when-undecided",
            "The destination takes UNDECIDED for RELEASED.",
            (right, phase, event) ->
                phase instanceof Holding && event.equals(new Answered(Standing.UNDECIDED))
                    ? right.transition(phase, new Answered(Standing.RELEASED))
                    : right.transition(phase, event)),
        mistake(
            "discard-on-time-out-after-ready",
            "The destination discards a held copy after three unanswered questions, and forgets that it was there.",
            (right, phase, event) ->
                phase instanceof Holding(var _, var asked) && asked >= 3 && event.equals(new TimerFired(Timer.STEP))
                    ? kill(right, phase)
                    : right.transition(phase, event)),
        mistake(
            "run-before-owned",
            "The destination runs the copy and writes OWNED afterwards.",
            (right, phase, event) -> {
              var step = right.transition(phase, event);
              return step.phase() instanceof Owning && phase instanceof Holding ? with(step, new Action.Run()) : step;
            }),
        mistake(
            "run-without-owned",
            "The destination runs the copy although OWNED could not be written.",
            (right, phase, event) ->
                phase instanceof Owning && event instanceof LedgerFailed
                    ? right.transition(phase, new DestinationTransition.OwnedWritten())
                    : right.transition(phase, event)),
        mistake(
            "run-when-held",
            "The destination lets the copy run as soon as it is complete.",
            (right, phase, event) -> {
              var step = right.transition(phase, event);
              return step.phase() instanceof Holding && phase instanceof RecordingHeld ? with(step, new Action.Run()) : step;
            }),
        mistake(
            "never-ask",
            "The destination holds a copy and never asks what became of the move.",
            (right, phase, event) ->
                phase instanceof Holding && event.equals(new TimerFired(Timer.STEP))
                    ? new Step(phase, List.of())
                    : right.transition(phase, event)),
        mistake(
            "keep-what-is-discarded",
            "The destination forgets a copy without removing it.",
            (right, phase, event) -> {
              var step = right.transition(phase, event);
              return step.phase() instanceof Discarding && !(phase instanceof Discarding)
                  ? right.transition(step.phase(), new DestinationTransition.Discarded())
                  : step;
            }),
        mistake(
            "discard-what-is-owned",
            "The destination obeys a Discard, or the loss of the source, while it writes OWNED.",
            (right, phase, event) ->
                phase instanceof Starting && (event instanceof DiscardAsked || event instanceof PeerLost)
                    ? right.transition(new Recreating(new Endpoint("", 0, new byte[0])), event)
                    : right.transition(phase, event)),
        new Mutation(
            "lose-both-digest-checks",
            "Neither side compares the digests.",
            rules ->
                Twist.source(SourceMistakes::withoutDigests)
                    .andThen(Twist.destination(DestinationMistakes::withoutDigests))
                    .apply(rules)));
  }

  private static Mutation mistake(String name, String sentence, Twist.OfDestination twist) {
    return new Mutation(name, sentence, Twist.destination(twist));
  }

  private static Step withoutDigests(
      DestinationRules right, DestinationTransition.Phase phase, DestinationTransition.Event event) {
    return phase instanceof Holding(var digest, var _) && event instanceof ActivateAsked(var epoch, var _)
        ? right.transition(phase, new ActivateAsked(epoch, digest))
        : right.transition(phase, event);
  }

  /** Removes the copy and goes on as if it were held. */
  private static Step kill(DestinationRules right, DestinationTransition.Phase phase) {
    return with(right.transition(phase, new TimerFired(Timer.STEP)), new Action.Discard());
  }

  private static Step with(Step step, Action more) {
    var actions = new ArrayList<>(step.actions());
    actions.add(more);
    return new Step(step.phase(), actions);
  }
}
