package io.gantry.actors.migration;

import io.gantry.actors.PageLinks.Endpoint;
import io.gantry.actors.protocol.PeerMessage.Standing;
import io.gantry.checkpoint.Finding;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What the destination of a move does next: a pure function of its phase and of what has happened. {@link IncomingMigration}
 * performs the actions.
 *
 * <pre>
 *  Checking ── findings ──▶ Ended: refused
 *     │ nothing in the way
 *  Announcing (ledger: ARRIVING) ──▶ Opening ──▶ Receiving ──▶ Recreating ──▶ RecordingHeld (ledger: HELD)
 *     │                                                                        │ on disk
 *     │ any failure, Discard, silence                                          ▼
 *     ├──────────────────────────────────────────────────────────────────── Holding ⟲ Ready, Query
 *     ▼                                  Discard, or answer: rolled back       │ Activate, or answer: released,
 *     │                                                                        │ or a person says: the source is off
 *  Discarding ◀────────────────────────────────────────────────────────────────┤
 *     │                                                                        ▼
 *  Forgetting (ledger: GONE)                                                Owning (ledger: OWNED) ── surely not ─▶ Holding
 *     │                                                                        │ on disk
 *     ▼                                                                        ▼
 *  Ended: discarded                                                         Starting ⟲ ──▶ Ended: running
 * </pre>
 *
 * INVARIANT: from the first attempt to write HELD that succeeded, only the source's word discards the copy, never a time-out.
 * INVARIANT: it is owned only on the source's word, or on that of a person who answers for it that the source is off.
 * INVARIANT: {@link Action#Run} is only asked for after OWNED is on disk.
 *
 * @param plan what does not change during the move
 */
public record DestinationTransition(Plan plan) implements DestinationRules {
  /**
   * @param migration id of the move
   * @param container its name
   * @param epoch that the copy will have
   * @param source the other node
   * @param destination this node
   */
  public record Plan(String migration, String container, long epoch, String source, String destination, Limits limits) {}

  /**
   * How long to wait for what.
   *
   * @param engineStep for checking, opening and discarding
   * @param recreate for recreating the kernel objects
   * @param working between two signs of life
   * @param ask between two questions while a copy is held, at first; doubles up to {@code askMax}
   * @param startRepeat between two attempts to let an owned copy run
   * @param stall after so long without the source having ended the stream, it is asked whether the move is still under way
   */
  public record Limits(
      Duration engineStep, Duration recreate, Duration working, Duration ask, Duration askMax, Duration startRepeat,
          Duration stall) {
    /** For a container of so many bytes, each of which may be read once more to be verified. */
    public static Limits forBytes(long residentBytes) {
      var usual = defaults();
      long verifyNs = residentBytes / FreezePolicy.PAGE_BYTES * SourceTransition.Limits.VERIFY_NS_PER_PAGE_MAX;
      return new Limits(
          usual.engineStep, usual.recreate.plusNanos(verifyNs), usual.working, usual.ask, usual.askMax, usual.startRepeat, usual.stall);
    }

    public static Limits defaults() {
      return new Limits(
          Duration.ofSeconds(15),
          Duration.ofSeconds(30),
          Duration.ofMillis(200),
          Duration.ofMillis(300),
          Duration.ofSeconds(2),
          Duration.ofMillis(200),
          Duration.ofSeconds(10));
    }
  }

  /** Where the move is. */
  public sealed interface Phase {
    /** Name for people and logs. */
    default String title() {
      return getClass().getSimpleName();
    }
  }

  public record Checking() implements Phase {}

  public record Announcing() implements Phase {}

  public record Opening() implements Phase {}

  public record Receiving(Endpoint endpoint) implements Phase {}

  public record Recreating(Endpoint endpoint) implements Phase {}

  public record RecordingHeld(String digest) implements Phase {}

  /** @param asked how often the source was asked what became of the move */
  public record Holding(String digest, int asked) implements Phase {}

  public record Owning(String digest) implements Phase {}

  public record Starting(int attempt) implements Phase {}

  public record Discarding(String reason, int attempt) implements Phase {}

  public record Forgetting(String reason) implements Phase {}

  public record Ended(Result result, String reason) implements Phase {}

  /** How it ended on this side. */
  public enum Result {
    /** Nothing was begun. */
    REFUSED,
    /** Nothing of it is here any more. */
    DISCARDED,
    /** The container is this host's and runs. */
    RUNNING
  }

  /** Which operation here has failed. */
  public enum Operation {
    CHECK("checking whether the container may come"),
    OPEN("preparing to take the container in"),
    RECREATE("recreating the container"),
    RUN("letting the copy run"),
    DISCARD("removing the copy");

    private final String words;

    Operation(String words) {
      this.words = words;
    }
  }

  /** What a timer is for. One of each runs at a time. */
  public enum Timer {
    /** This phase takes too long, or it is time to do something again. */
    STEP,
    /** Time for a sign of life. */
    WORKING
  }

  /** What has happened. */
  public sealed interface Event {}

  /** An operation of the engine here, or of the page stream, has ended. */
  public sealed interface OfEngine extends Event {}

  /** The source said something, or the membership said something about it. */
  public sealed interface OfPeer extends Event {}

  /** The ledger here has answered. */
  public sealed interface OfLedger extends Event {}

  public sealed interface OfUser extends Event {}

  /** @param passing whether a later offer may be accepted */
  public record Checked(List<Finding> findings, boolean passing) implements OfEngine {}

  public record Opened(Endpoint endpoint) implements OfEngine {}

  /** @param failure a sentence, or empty when everything has arrived */
  public record StreamEnded(String failure) implements OfEngine {}

  public record Recreated(String digest) implements OfEngine {}

  public record Running() implements OfEngine {}

  public record Discarded() implements OfEngine {}

  public record OperationFailed(Operation operation, String reason) implements OfEngine {}

  public record ArrivingWritten() implements OfLedger {}

  public record HeldWritten() implements OfLedger {}

  public record OwnedWritten() implements OfLedger {}

  public record GoneWritten() implements OfLedger {}

  /** @param certain whether the record is surely not on disk */
  public record LedgerFailed(String reason, boolean certain) implements OfLedger {}

  /** The offer came again: the answer was lost. */
  public record OfferRepeated() implements OfPeer {}

  public record LastAnnounced(String digest) implements OfPeer {}

  public record ActivateAsked(long epoch, String digest) implements OfPeer {}

  public record DiscardAsked(String reason) implements OfPeer {}

  /** The source's ledger has answered. */
  public record Answered(Standing standing) implements OfPeer {}

  /**
   * A person, or the fencing command, vouches for it that the source's host is off, and the original with it.
   *
   * @param reason who says so
   */
  public record PeerConfirmedOff(String reason) implements OfUser {}

  /** The membership says that the source cannot be reached. */
  public record PeerLost(String reason) implements OfPeer {}

  public record TimerFired(Timer timer) implements Event {}

  /** What to do. */
  public sealed interface Action {
    record Check() implements Action {}

    record SendRefused(List<Finding> findings, boolean passing) implements Action {}

    record WriteArriving() implements Action {}

    /** Prepares the engine and opens the stream. */
    record Open() implements Action {}

    record SendAccepted(Endpoint endpoint) implements Action {}

    record SendWorking(String step) implements Action {}

    record Recreate() implements Action {}

    record WriteHeld(String digest) implements Action {}

    record SendReady(String digest) implements Action {}

    record SendQuery() implements Action {}

    record WriteOwned() implements Action {}

    record Run() implements Action {}

    record SendActivated() implements Action {}

    /** Tells the source that this will not succeed. */
    record SendFailed(String reason) implements Action {}

    /** Breaks the stream if it is open. */
    record CloseStream() implements Action {}

    /** Kills what was built and removes every trace but the ledger's. */
    record Discard() implements Action {}

    record WriteGone() implements Action {}

    /** Starts a timer anew. */
    record StartTimer(Timer timer, Duration after) implements Action {}

    record StopTimer(Timer timer) implements Action {}

    /** Something that an operator should know. */
    record Warn(String sentence) implements Action {}

    record Finish(Result result, String reason) implements Action {}
  }

  /** The new phase and what to do, in order. */
  public record Step(Phase phase, List<Action> actions) {
    public Step {
      actions = List.copyOf(actions);
    }
  }

  /** An offer has come. */
  @Override
  public Step begin() {
    return step(new Checking(), new Action.Check(), new Action.StartTimer(Timer.STEP, plan.limits().engineStep()));
  }

  /** A restarted agent has found HELD in its ledger, and the frozen copy. */
  @Override
  public Step recover(String digest) {
    return hold(digest);
  }

  /** What follows from an event. An event that does not matter in a phase, because it is late or doubled, changes nothing. */
  @Override
  public Step transition(Phase phase, Event event) {
    return switch (phase) {
      case Checking current -> checking(current, event);
      case Announcing current -> announcing(current, event);
      case Opening current -> opening(current, event);
      case Receiving current -> receiving(current, event);
      case Recreating current -> recreating(current, event);
      case RecordingHeld current -> recordingHeld(current, event);
      case Holding current -> holding(current, event);
      case Owning current -> owning(current, event);
      case Starting current -> starting(current, event);
      case Discarding current -> discarding(current, event);
      case Forgetting current -> forgetting(current, event);
      case Ended current -> step(current);
    };
  }

  // ── until a copy is held ─────────────────────────────────────────────────────────────────────────────────────────

  private Step checking(Checking phase, Event event) {
    return switch (event) {
      case Checked(var findings, var _) when findings.isEmpty() -> step(new Announcing(), new Action.WriteArriving());
      case Checked(var findings, var passing) -> refuse(findings, passing);
      case OperationFailed(var operation, var reason) -> refuse(failure(operation, reason));
      case DiscardAsked(var reason) -> end(Result.REFUSED, reason);
      case PeerLost(var reason) -> end(Result.REFUSED, reason);
      case TimerFired(var timer) when timer == Timer.STEP -> refuse("Checking whether the container may come took too long.");
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step announcing(Announcing phase, Event event) {
    return switch (event) {
      case ArrivingWritten() ->
          step(new Opening(), new Action.Open(), new Action.StartTimer(Timer.STEP, plan.limits().engineStep()));
      case LedgerFailed(var reason, var _) -> refuse(reason);
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step opening(Opening phase, Event event) {
    return switch (event) {
      case Opened(var endpoint) ->
          step(
              new Receiving(endpoint),
              new Action.SendAccepted(endpoint),
              new Action.StartTimer(Timer.WORKING, plan.limits().working()),
              new Action.StartTimer(Timer.STEP, plan.limits().stall()));
      case TimerFired(var timer) when timer == Timer.STEP -> discard("Preparing to take the container in took too long.");
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> undoable(phase, event);
    };
  }

  private Step receiving(Receiving phase, Event event) {
    return switch (event) {
      case OfferRepeated() -> step(phase, new Action.SendAccepted(phase.endpoint()));
      case StreamEnded(var failure) when failure.isEmpty() ->
          step(new Recreating(phase.endpoint()), new Action.Recreate(),
              new Action.StartTimer(Timer.STEP, plan.limits().recreate()));
      case StreamEnded(var failure) -> discard("The page stream broke: " + failure);
      case TimerFired(var timer) when timer == Timer.STEP ->
          step(phase, new Action.SendQuery(), new Action.StartTimer(Timer.STEP, plan.limits().stall()));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> undoable(phase, event);
    };
  }

  private Step recreating(Recreating phase, Event event) {
    return switch (event) {
      case Recreated(var digest) ->
          step(new RecordingHeld(digest), new Action.WriteHeld(digest), new Action.StopTimer(Timer.STEP));
      case TimerFired(var timer) when timer == Timer.STEP -> discard("Recreating the container took too long.");
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> undoable(phase, event);
    };
  }

  private Step recordingHeld(RecordingHeld phase, Event event) {
    return switch (event) {
      case HeldWritten() -> hold(phase.digest());
      case LedgerFailed(var reason, var _) -> discard(reason);
      case TimerFired(var timer) when timer == Timer.WORKING -> working(phase);
      // A Discard that comes now is asked for again by the first Query of Holding.
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  /** What can happen while nothing was promised yet. */
  private Step undoable(Phase phase, Event event) {
    return switch (event) {
      case OperationFailed(var operation, var reason) -> discard(failure(operation, reason));
      case StreamEnded(var failure) when !failure.isEmpty() -> discard("The page stream broke: " + failure);
      case DiscardAsked(var reason) -> discard(reason);
      case Answered(var standing) when standing == Standing.ROLLED_BACK ->
          discard("Node " + plan.source() + " has rolled the move back.");
      case Answered(var standing) when standing == Standing.RELEASED ->
          // Released is only what was once held: the offer was a late or doubled one of a move that is over.
          discard("The offer of node " + plan.source() + " belongs to a move that has been completed.");
      case PeerLost(var reason) -> discard(reason);
      case TimerFired(var timer) when timer == Timer.WORKING -> working(phase);
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step working(Phase phase) {
    return step(phase, new Action.SendWorking(phase.title()), new Action.StartTimer(Timer.WORKING, plan.limits().working()));
  }

  // ── while a copy is held ─────────────────────────────────────────────────────────────────────────────────────────

  private Step hold(String digest) {
    return step(
        new Holding(digest, 0),
        new Action.SendReady(digest),
        new Action.StopTimer(Timer.WORKING),
        new Action.StartTimer(Timer.STEP, plan.limits().ask()));
  }

  private Step holding(Holding phase, Event event) {
    return switch (event) {
      case ActivateAsked(var epoch, var digest) when epoch == plan.epoch() && digest.equals(phase.digest()) ->
          step(new Owning(phase.digest()), new Action.WriteOwned(), new Action.StopTimer(Timer.STEP));
      case ActivateAsked(var epoch, var digest) ->
          step(
              phase,
              new Action.Warn(
                  ("Node %s wants container %s activated at epoch %d with digest %s;"
                          + " the copy held here has epoch %d and digest %s and stays frozen.")
                      .formatted(plan.source(), plan.container(), epoch, digest, plan.epoch(), phase.digest())));
      case Answered(var standing) when standing == Standing.RELEASED ->
          step(new Owning(phase.digest()), new Action.WriteOwned(), new Action.StopTimer(Timer.STEP));
      case Answered(var standing) when standing == Standing.ROLLED_BACK ->
          discard("Node " + plan.source() + " has rolled the move back.");
      case DiscardAsked(var reason) -> discard(reason);
      case PeerConfirmedOff(var reason) ->
          step(
              new Owning(phase.digest()),
              new Action.Warn("Container %s is this node's now. %s".formatted(plan.container(), reason)),
              new Action.WriteOwned(),
              new Action.StopTimer(Timer.STEP));
      case TimerFired(var timer) when timer == Timer.STEP -> {
        var wait = plan.limits().ask().multipliedBy(1L << Math.min(phase.asked() + 1, 10));
        var longest = plan.limits().askMax();
        yield step(
            new Holding(phase.digest(), phase.asked() + 1),
            new Action.SendReady(phase.digest()),
            new Action.SendQuery(),
            new Action.StartTimer(Timer.STEP, wait.compareTo(longest) < 0 ? wait : longest));
      }
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  // ── from the commit on ───────────────────────────────────────────────────────────────────────────────────────────

  private Step owning(Owning phase, Event event) {
    return switch (event) {
      case OwnedWritten() -> step(new Starting(1), new Action.Run(), new Action.StopTimer(Timer.STEP));
      // It may be on disk: whatever the source says from now on, a restarted agent would let the copy run.
      case LedgerFailed(var reason, var certain) when !certain ->
          step(
              phase,
              new Action.Warn(reason + " The copy of container " + plan.container()
                  + " stays frozen until the ledger can be written."),
              new Action.StartTimer(Timer.STEP, plan.limits().startRepeat()));
      case TimerFired(var timer) when timer == Timer.STEP -> step(phase, new Action.WriteOwned());
      case LedgerFailed(var reason, var _) ->
          step(
              new Holding(phase.digest(), 0),
              new Action.Warn(reason + " The copy of container " + plan.container()
                  + " stays frozen until the ledger can be written."),
              new Action.StartTimer(Timer.STEP, plan.limits().ask()));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step starting(Starting phase, Event event) {
    return switch (event) {
      case Running() -> {
        // In this order: whoever hears that the move is over finds the container here.
        var ended = end(Result.RUNNING, "");
        var actions = new ArrayList<>(ended.actions());
        actions.add(new Action.SendActivated());
        yield new Step(ended.phase(), actions);
      }
      case OperationFailed(var operation, var reason) when operation == Operation.RUN -> {
        var again = new Action.StartTimer(Timer.STEP, plan.limits().startRepeat());
        yield phase.attempt() == 1
            ? step(new Starting(2), new Action.Warn(failure(operation, reason) + " It is tried again."), again)
            : step(new Starting(phase.attempt() + 1), again);
      }
      case TimerFired(var timer) when timer == Timer.STEP -> step(phase, new Action.Run());
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  // ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  private Step refuse(String sentence) {
    return refuse(List.of(new Finding(0, -1, "node " + plan.destination(), sentence)), false);
  }

  private Step refuse(List<Finding> findings, boolean passing) {
    return end(Result.REFUSED, findings.isEmpty() ? "" : findings.getFirst().toString(),
        new Action.SendRefused(findings, passing));
  }

  private Step discard(String reason) {
    return step(
        new Discarding(reason, 1),
        new Action.SendFailed(reason),
        new Action.CloseStream(),
        new Action.Discard(),
        new Action.StopTimer(Timer.WORKING),
        new Action.StartTimer(Timer.STEP, plan.limits().engineStep()));
  }

  private Step discarding(Discarding phase, Event event) {
    return switch (event) {
      case Discarded() -> step(new Forgetting(phase.reason()), new Action.WriteGone(), new Action.StopTimer(Timer.STEP));
      case OperationFailed(var operation, var reason) when operation == Operation.DISCARD -> {
        var again = new Action.StartTimer(Timer.STEP, plan.limits().startRepeat());
        yield phase.attempt() == 1
            ? step(new Discarding(phase.reason(), 2), new Action.Warn(failure(operation, reason) + " It is tried again."), again)
            : step(new Discarding(phase.reason(), phase.attempt() + 1), again);
      }
      case TimerFired(var timer) when timer == Timer.STEP && phase.attempt() > 1 -> step(phase, new Action.Discard());
      case TimerFired(var timer) when timer == Timer.STEP ->
          step(
              phase,
              new Action.Warn("Removing the copy of container " + plan.container() + " takes unusually long."),
              new Action.StartTimer(Timer.STEP, plan.limits().engineStep()));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step forgetting(Forgetting phase, Event event) {
    return switch (event) {
      case GoneWritten() -> end(Result.DISCARDED, phase.reason());
      case LedgerFailed(var reason, var _) ->
          // The ledger still says ARRIVING or HELD of a copy that is not there; the next start of the agent finds that out and
          // writes it down.
          end(Result.DISCARDED, phase.reason(), new Action.Warn(reason));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step end(Result result, String reason, Action... before) {
    var actions = new ArrayList<>(List.of(before));
    for (var timer : Timer.values()) {
      actions.add(new Action.StopTimer(timer));
    }
    actions.add(new Action.Finish(result, reason));
    return new Step(new Ended(result, reason), actions);
  }

  private static Step step(Phase phase, Action... actions) {
    return new Step(phase, Arrays.asList(actions));
  }

  private static String failure(Operation operation, String reason) {
    return "While " + operation.words + ": " + reason;
  }
}
