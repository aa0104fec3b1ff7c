package io.gantry.actors.migration;

import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.PageLinks.Endpoint;
import io.gantry.actors.protocol.PeerMessage.Standing;
import io.gantry.checkpoint.Finding;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * What the source of a move does next: a pure function of its phase and of what has happened. {@link OutgoingMigration}
 * performs the actions.
 *
 * <pre>
 *  Inspecting ◀─▶ Offering ◀──▶ Pausing (a passing refusal, no answer)
 *                    │ accepted
 *                Connecting ──▶ PreCopying ⟲ rounds
 *                                   │ FreezePolicy: now
 *                               Freezing ──▶ SendingLast ──▶ AwaitingReady
 *                                                                │ held here, ready there, digests equal
 *  ── any failure, cancel or silence up to here ─▶ RollingBack   │
 *                                                    │           ▼
 *                                                    │       Releasing (ledger: RELEASED) ── certainly not written ─▶ RollingBack
 *                                                    │           │ on disk: THE COMMIT        │ unknown
 *                                                    │           ▼                            ▼
 *                                                    │       Activating ⟲ Activate        Unsaying ⟲ (ledger: OWNED)
 *                                                    │        │      │ never owned, or a      │
 *                                                    │        │      │ person says: it is off │
 *                                                    │        │      ▼                        │
 *                                                    │        │   TakingBack (ledger: OWNED)  │
 *                                                    │        │      │                        │
 *                                                    ▼        │      ▼                        │
 *                                         Ended ◀────┼────────┼── RollingBack ◀───────────────┘
 *                                                    │        │ activated
 *                                                    │        ▼
 *                                                    │   Destroying ──▶ Forgetting (ledger: GONE) ──▶ Ended: completed
 * </pre>
 *
 * {@link Offering} and {@link Pausing} follow each other until the deadline while the destination refuses for a reason that
 * passes. A refusal for files alone is looked into: a program that makes and removes files has others by the time the
 * destination looks, so only a file that is missing, or differs, in two looks one after the other stands in the way.
 *
 * <p>INVARIANT: {@link Action#Resume} is never asked for between the first attempt to write RELEASED and a successful write of
 * OWNED or the
 * certainty that RELEASED was not written. INVARIANT: {@link Action#SendActivate} is only asked for after RELEASED is on disk.
 *
 * @param plan what does not change during the move
 */
public record SourceTransition(Plan plan) implements SourceRules {
  /** A destination that needs longer to take in a round has let the container write enough for another one. */
  static final Duration PACE_SOON = Duration.ofMillis(30);

  /** Then the container is frozen anyway: a node of protocol 1.4 does not say how far it is. */
  static final Duration PACE_MAX = Duration.ofSeconds(2);

  /** After so many rounds for its sake a destination is not waited for any more. */
  static final int PACE_WAITS_MAX = 2;

  /** How often the source looks again because of files that may have been there for a moment only. */
  static final int LOOKS_MAX = 8;

  /**
   * @param migration id of the move
   * @param container its name
   * @param source this node
   * @param destination the other
   * @param options what the user wants
   * @param limits how long to wait for what
   */
  public record Plan(
      String migration, String container, String source, String destination, MigrateOptions options, Limits limits) {}

  /**
   * How long to wait for what.
   *
   * @param engineStep for inspecting, connecting and beginning to capture
   * @param offerAnswer for an answer to one offer
   * @param offersMax how many offers in all that are not answered
   * @param offerPause after an offer that was refused for a reason that passes; doubles up to {@code offerPauseMax}
   * @param silence of the destination while the container runs
   * @param frozenSilence of the destination while it is frozen, and for the stop itself
   * @param frozenStep for sending the last pages and the state, beyond four times the pause that was predicted
   * @param activateRepeat between two Activates at first; doubles up to {@code activateRepeatMax}
   * @param inDoubtAfter how long after the first Activate the user is told that the move is in doubt
   * @param undoRepeat between two attempts to undo something here
   * @param undosMax how many such attempts
   */
  public record Limits(
      Duration engineStep,
      Duration offerAnswer,
      int offersMax,
      Duration offerPause,
      Duration offerPauseMax,
      Duration silence,
      Duration frozenSilence,
      Duration frozenStep,
      Duration activateRepeat,
      Duration activateRepeatMax,
      Duration inDoubtAfter,
      Duration undoRepeat,
      int undosMax) {
    /** 40 MB/s: a host that is slower is busy beyond hope; one that is not reads ten times that ({@code docs/performance.md}). */
    public static final long VERIFY_NS_PER_PAGE_MAX = 100_000;

    public static Limits defaults() {
      return new Limits(
          Duration.ofSeconds(15),
          Duration.ofSeconds(3),
          5,
          Duration.ofMillis(200),
          Duration.ofSeconds(2),
          Duration.ofSeconds(5),
          Duration.ofMillis(800),
          Duration.ofSeconds(3),
          Duration.ofMillis(100),
          Duration.ofSeconds(2),
          Duration.ofSeconds(5),
          Duration.ofMillis(200),
          50);
    }

    public Limits withFrozenSilence(Duration duration) {
      return new Limits(
          engineStep, offerAnswer, offersMax, offerPause, offerPauseMax, silence, duration, frozenStep, activateRepeat,
              activateRepeatMax, inDoubtAfter, undoRepeat, undosMax);
    }
  }

  /** What the destination has agreed to: {@code epoch} of the copy, where its pages go, and which ledger will remember it. */
  public record Terms(long epoch, Endpoint endpoint, String ledgerId) {}

  /** Where the move is. */
  public sealed interface Phase {
    /** Name for people and logs. */
    default String title() {
      return getClass().getSimpleName();
    }
  }

  /** What a phase waits for, when people should know; or empty. */
  public static String awaited(Phase phase) {
    return phase instanceof Pausing(var _, var why) ? "It waits: " + why : "";
  }

  /** @param doubts what the destination has said of files before */
  public record Inspecting(Doubts doubts) implements Phase {}

  /**
   * @param attempt counts offers since the destination last answered
   * @param refusals its passing ones so far
   * @param doubts what it has said of files before
   */
  public record Offering(int attempt, int refusals, Doubts doubts) implements Phase {}

  /**
   * Files that the destination lacks, which the container may have had for a moment only.
   *
   * @param looks how often the container was looked at again because of such files
   * @param last what was said of those after the last look
   */
  public record Doubts(int looks, List<Finding> last) {
    static final Doubts NONE = new Doubts(0, List.of());

    public Doubts {
      last = List.copyOf(last);
    }

    /** Whether these may be gone when the container is looked at again. */
    boolean mayPass(List<Finding> findings) {
      return looks < LOOKS_MAX
          && findings.stream().allMatch(finding -> finding.kind().equals(Finding.FILE))
          && Collections.disjoint(findings, last);
    }

    Doubts and(List<Finding> findings) {
      return new Doubts(looks + 1, findings);
    }
  }

  /** Waits before the next offer. */
  public record Pausing(int refusals, String why) implements Phase {}

  public record Connecting(Terms terms) implements Phase {}

  /** @param pace how far the destination is, and whether it is waited for */
  public record PreCopying(Terms terms, List<FreezePolicy.Round> rounds, Pace pace) implements Phase {}

  /**
   * The freeze waits for a destination that has not taken in yet what was sent: while it still makes processes or writes pages of
   * rounds before, the container would stand still for nothing.
   *
   * @param applied how many rounds the destination has taken in
   * @param next what comes when it has taken in all; empty while a round is being sent
   * @param late whether that has taken so long that another round is better than freezing then
   * @param waits how often it was
   */
  public record Pace(int applied, Optional<FreezePolicy.FreezeNow> next, boolean late, int waits) {
    static final Pace BEGIN = new Pace(0, Optional.empty(), false, 0);

    Pace applied(int rounds) {
      return new Pace(Math.max(applied, rounds), next, late, waits);
    }

    boolean isBehind(int rounds) {
      return applied < rounds && waits < PACE_WAITS_MAX;
    }

    Pace awaiting(FreezePolicy.FreezeNow freeze) {
      return new Pace(applied, Optional.of(freeze), false, waits);
    }

    Pace isLate() {
      return new Pace(applied, next, true, waits);
    }

    Pace anotherRound() {
      return new Pace(applied, Optional.empty(), false, waits + 1);
    }
  }

  /** @param lastMax how long {@link SendingLast} may then take */
  public record Freezing(Terms terms, Duration lastMax) implements Phase {}

  /**
   * @param readyDigest what the destination has computed, when its Ready has overtaken the end of the sending here
   * @param lastMax how long it may take, and so a digest over every page at the destination
   */
  public record SendingLast(Terms terms, Optional<String> readyDigest, Duration lastMax) implements Phase {}

  /**
   * @param readyDigest what the destination has computed, when it is ready;
   * @param held whether the freezer keeps the original
   */
  public record AwaitingReady(Terms terms, String digest, boolean held, Optional<String> readyDigest) implements Phase {}

  public record Releasing(Terms terms, String digest) implements Phase {}

  /** @param sent how many Activates; @param told whether the user knows that it is in doubt */
  public record Activating(Terms terms, String digest, int sent, boolean told) implements Phase {}

  /** RELEASED may or may not be on disk, and Activate was not sent. */
  public record Unsaying(Terms terms, String reason, boolean told) implements Phase {}

  public record TakingBack(Terms terms, String reason) implements Phase {}

  public record Destroying(int attempt) implements Phase {}

  public record Forgetting(int attempt) implements Phase {}

  /** @param result and @param reason are the outcome once the container runs again */
  public record RollingBack(Result result, String reason, int attempt) implements Phase {}

  public record Ended(Result result, String reason) implements Phase {}

  /** Which operation here has failed. */
  public enum Operation {
    INSPECT("inspecting the container"),
    CONNECT("opening the page stream"),
    CAPTURE("beginning to capture"),
    ROUND("sending a round of pages"),
    FREEZE("freezing the container"),
    SEND_LAST("sending the last pages and the state"),
    HOLD("handing the container to the freezer"),
    RESUME("letting the container run on"),
    DESTROY("removing the original");

    private final String words;

    Operation(String words) {
      this.words = words;
    }
  }

  /** What a timer is for. One of each runs at a time. */
  public enum Timer {
    /** This phase takes too long, or it is time to do something again. */
    STEP,
    /** The peer has not been heard for too long. */
    SILENCE,
    /** The user's deadline. */
    DEADLINE,
    /** The user should be told that the move is in doubt. */
    IN_DOUBT
  }

  /** What has happened. */
  public sealed interface Event {}

  /** An operation of the engine here, or of the page stream, has ended. */
  public sealed interface OfEngine extends Event {}

  /** The destination said something, or the membership said something about it. */
  public sealed interface OfPeer extends Event {}

  /** The ledger here has answered. */
  public sealed interface OfLedger extends Event {}

  public sealed interface OfUser extends Event {}

  public record Inspected(List<Finding> findings) implements OfEngine {}

  public record Accepted(Terms terms) implements OfPeer {}

  public record Refused(List<Finding> findings, boolean passing) implements OfPeer {}

  public record CaptureBegun() implements OfEngine {}

  /** @param fixedNs what a pause of this container costs besides memory; @param remainingNs until the deadline */
  public record RoundSent(FreezePolicy.Round round, long fixedNs, long remainingNs) implements OfEngine {}

  public record Frozen() implements OfEngine {}

  public record LastSent(String digest) implements OfEngine {}

  public record Held() implements OfEngine {}

  public record Ready(String digest) implements OfPeer {}

  public record ReleasedWritten() implements OfLedger {}

  public record OwnedWritten() implements OfLedger {}

  public record GoneWritten() implements OfLedger {}

  /** @param certain whether the record is surely not on disk */
  public record LedgerFailed(String reason, boolean certain) implements OfLedger {}

  public record Activated() implements OfPeer {}

  /** The destination's ledger has answered. */
  public record Answered(Standing standing, String ledgerId) implements OfPeer {}

  public record Resumed() implements OfEngine {}

  public record OriginalDestroyed() implements OfEngine {}

  public record OperationFailed(Operation operation, String reason) implements OfEngine {}

  /** The container holds something that cannot be carried, found when the capture began or when the container had been stopped. */
  public record CaptureRefused(List<Finding> findings) implements OfEngine {}

  /** The destination says that it cannot. */
  public record PeerFailed(String reason) implements OfPeer {}

  /** The destination has taken in so many rounds. */
  public record RoundApplied(int count) implements OfPeer {}

  /** Some message of the destination came. */
  public record PeerHeard() implements OfPeer {}

  /** The membership says that the destination cannot be reached. @param restarted its agent was started anew and can be reached */
  public record PeerLost(String reason, boolean restarted) implements OfPeer {}

  public record CancelRequested(String reason) implements OfUser {}

  /**
   * A person, or the fencing command, vouches for it that the destination's host is off, and every copy there with it.
   *
   * @param reason who says so
   */
  public record PeerConfirmedOff(String reason) implements OfUser {}

  public record TimerFired(Timer timer) implements Event {}

  /** What to do. */
  public sealed interface Action {
    record Inspect() implements Action {}

    record SendOffer() implements Action {}

    /** Opens the stream and begins to capture. */
    record BeginCapture(Endpoint endpoint) implements Action {}

    record SendRound(int number) implements Action {}

    record Freeze(FreezePolicy.Prediction prediction, String note) implements Action {}

    /** Last pages and state, and the end of the stream. */
    record SendLast() implements Action {}

    record Hold() implements Action {}

    /** Tells the destination that everything was sent. */
    record AnnounceLast(String digest) implements Action {}

    record WriteReleased(Terms terms, String digest) implements Action {}

    record SendActivate(Terms terms, String digest) implements Action {}

    /** Ledger: OWNED, one epoch after the one that was given away. */
    record WriteTakenBack(Terms terms) implements Action {}

    record SendDiscard(String reason) implements Action {}

    /** Breaks a call that hangs in the stream. */
    record CloseStream() implements Action {}

    /** Ends the capture and thaws the container, however far it had come. */
    record Resume() implements Action {}

    record DestroyOriginal() implements Action {}

    record WriteGone() implements Action {}

    /** Starts a timer anew. */
    record StartTimer(Timer timer, Duration after) implements Action {}

    record StopTimer(Timer timer) implements Action {}

    /** The user learns that the move is in doubt; it goes on. */
    record TellInDoubt(String reason) implements Action {}

    record Finish(Result result, String reason) implements Action {}
  }

  /** The new phase and what to do, in order. */
  public record Step(Phase phase, List<Action> actions) {
    public Step {
      actions = List.copyOf(actions);
    }
  }

  /** A new move. */
  @Override
  public Step begin() {
    return step(
        new Inspecting(Doubts.NONE),
        new Action.StartTimer(Timer.DEADLINE, plan.options().deadline()),
        new Action.StartTimer(Timer.STEP, plan.limits().engineStep()),
        new Action.Inspect());
  }

  /** A restarted agent has found RELEASED in its ledger. */
  @Override
  public Step recover(Terms terms, String digest) {
    return activate(terms, digest);
  }

  /** What follows from an event. An event that does not matter in a phase, because it is late or doubled, changes nothing. */
  @Override
  public Step transition(Phase phase, Event event) {
    return switch (phase) {
      case Inspecting current -> inspecting(current, event);
      case Offering current -> offering(current, event);
      case Pausing current -> pausing(current, event);
      case Connecting current -> connecting(current, event);
      case PreCopying current -> preCopying(current, event);
      case Freezing current -> freezing(current, event);
      case SendingLast current -> sendingLast(current, event);
      case AwaitingReady current -> awaitingReady(current, event);
      case Releasing current -> releasing(current, event);
      case Activating current -> activating(current, event);
      case Unsaying current -> unsaying(current, event);
      case TakingBack current -> takingBack(current, event);
      case Destroying current -> destroying(current, event);
      case Forgetting current -> forgetting(current, event);
      case RollingBack current -> rollingBack(current, event);
      case Ended current -> step(current);
    };
  }

  // ── before the container is touched ──────────────────────────────────────────────────────────────────────────────

  private Step inspecting(Inspecting phase, Event event) {
    return switch (event) {
      case Inspected(var findings) when findings.isEmpty() -> offer(1, 0, phase.doubts());
      case Inspected(var findings) -> refuse(findings);
      case TimerFired(var timer) when timer == Timer.STEP -> end(Result.REFUSED, "Inspecting the container took too long.");
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> untouched(phase, event);
    };
  }

  private Step offering(Offering phase, Event event) {
    return switch (event) {
      case Accepted(var terms) ->
          step(
              new Connecting(terms),
              new Action.StartTimer(Timer.STEP, plan.limits().engineStep()),
              new Action.StartTimer(Timer.SILENCE, plan.limits().silence()),
              new Action.BeginCapture(terms.endpoint()));
      // As often as the deadline allows: what stands in the way, such as other moves, passes by itself.
      case Refused(var findings, var passing) when passing -> pause(phase.refusals() + 1, sentences(findings));
      case Refused(var findings, var _) when phase.doubts().mayPass(findings) ->
          step(
              new Inspecting(phase.doubts().and(findings)),
              new Action.StartTimer(Timer.STEP, plan.limits().engineStep()), new Action.Inspect());
      case Refused(var findings, var _) -> refuse(findings);
      case TimerFired(var timer) when timer == Timer.STEP && phase.attempt() < plan.limits().offersMax() ->
          offer(phase.attempt() + 1, phase.refusals(), phase.doubts());
      case TimerFired(var timer) when timer == Timer.STEP ->
          giveUp(
              Result.REFUSED,
              "Node %s did not answer %d offers; see whether its agent runs and whether it can be reached."
                  .formatted(plan.destination(), phase.attempt()));
      case PeerFailed(var reason) -> giveUp(Result.REFUSED, reason);
      // Its new agent knows nothing of the offer and can be given it as soon as it is ready.
      case PeerLost(var reason, var restarted) when restarted -> pause(phase.refusals() + 1, reason);
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> untouched(phase, event);
    };
  }

  private Step pausing(Pausing phase, Event event) {
    return switch (event) {
      case TimerFired(var timer) when timer == Timer.STEP -> offer(1, phase.refusals(), Doubts.NONE);
      case TimerFired(var timer) when timer == Timer.DEADLINE ->
          giveUp(Result.REFUSED, deadlinePassed(phase) + " What it waited for: " + phase.why());
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> untouched(phase, event);
    };
  }

  private Step untouched(Phase phase, Event event) {
    return switch (event) {
      case OperationFailed(var operation, var reason) -> giveUp(Result.REFUSED, failure(operation, reason));
      case PeerLost(var _, var restarted) when restarted -> step(phase); // it has not been asked yet, or is to be asked again
      case PeerLost(var reason, var _) -> giveUp(Result.REFUSED, reason);
      case CancelRequested(var reason) -> giveUp(Result.ROLLED_BACK, reason);
      case TimerFired(var timer) when timer == Timer.DEADLINE -> giveUp(Result.ROLLED_BACK, deadlinePassed(phase));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step offer(int attempt, int refusals, Doubts doubts) {
    return step(
        new Offering(attempt, refusals, doubts),
        new Action.StartTimer(Timer.STEP, plan.limits().offerAnswer()), new Action.SendOffer());
  }

  private Step pause(int refusals, String why) {
    var wait = plan.limits().offerPause().multipliedBy(1L << Math.min(refusals - 1, 10));
    var longest = plan.limits().offerPauseMax();
    return step(
        new Pausing(refusals, why), new Action.StartTimer(Timer.STEP, wait.compareTo(longest) < 0 ? wait : longest));
  }

  private Step refuse(List<Finding> findings) {
    return end(Result.REFUSED, sentences(findings));
  }

  /** Ends a move that has not touched the container; the destination may have heard of it. */
  private Step giveUp(Result result, String reason) {
    return end(result, reason, new Action.SendDiscard(reason));
  }

  // ── while it can still be undone here ────────────────────────────────────────────────────────────────────────────

  private Step connecting(Connecting phase, Event event) {
    return switch (event) {
      case CaptureBegun() ->
          step(
              new PreCopying(phase.terms(), List.of(), Pace.BEGIN),
              new Action.StopTimer(Timer.STEP),
              new Action.SendRound(0));
      case CaptureRefused(var findings) -> rollBack(Result.REFUSED, sentences(findings));
      case TimerFired(var timer) when timer == Timer.STEP ->
          rollBack(Result.ROLLED_BACK, "Connecting to node " + plan.destination() + " and beginning to capture took too long.");
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> undoable(phase, event, plan.limits().silence());
    };
  }

  private Step preCopying(PreCopying phase, Event event) {
    return switch (event) {
      case RoundSent(var round, var fixedNs, var remainingNs) -> {
        var rounds = new ArrayList<>(phase.rounds());
        rounds.add(round);
        var goal = new FreezePolicy.Goal(plan.options().pauseBudget().toNanos(), plan.options().onStall(), remainingNs);
        yield switch (FreezePolicy.decide(rounds, fixedNs, goal)) {
          case FreezePolicy.AnotherRound _ ->
              step(new PreCopying(phase.terms(), List.copyOf(rounds), phase.pace()), new Action.SendRound(rounds.size()));
          case FreezePolicy.FreezeNow freeze when phase.pace().isBehind(rounds.size()) ->
              step(
                  new PreCopying(phase.terms(), List.copyOf(rounds), phase.pace().awaiting(freeze)),
                  new Action.StartTimer(Timer.STEP, PACE_SOON));
          case FreezePolicy.FreezeNow freeze -> freeze(phase.terms(), rounds, freeze);
          case FreezePolicy.GiveUp(var _, var why) ->
              rollBack(Result.ROLLED_BACK, "The container was not frozen because " + why + ".");
        };
      }
      case RoundApplied(var count) -> applied(phase, phase.pace().applied(count));
      case TimerFired(var timer) when timer == Timer.STEP && phase.pace().next().isPresent() ->
          phase.pace().late()
              ? freeze(phase.terms(), phase.rounds(), phase.pace().next().get())
              : step(
                  new PreCopying(phase.terms(), phase.rounds(), phase.pace().isLate()), new Action.StartTimer(Timer.STEP, PACE_MAX));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> undoable(phase, event, plan.limits().silence());
    };
  }

  private Step applied(PreCopying phase, Pace pace) {
    var rounds = phase.rounds();
    if (pace.next().isEmpty() || pace.applied() < rounds.size()) {
      return step(new PreCopying(phase.terms(), rounds, pace));
    }
    return pace.late()
        ? step(
            new PreCopying(phase.terms(), rounds, pace.anotherRound()), new Action.StopTimer(Timer.STEP),
                new Action.SendRound(rounds.size()))
        : freeze(phase.terms(), rounds, pace.next().get());
  }

  private Step freeze(Terms terms, List<FreezePolicy.Round> rounds, FreezePolicy.FreezeNow freeze) {
    var prediction = freeze.prediction();
    return step(
        new Freezing(terms, plan.limits().frozenStep().plusNanos(4 * prediction.pauseNs()).plus(verifying(rounds))),
        new Action.Freeze(prediction, freeze.why()),
        new Action.StartTimer(Timer.STEP, plan.limits().frozenSilence()),
        new Action.StartTimer(Timer.SILENCE, plan.limits().frozenSilence()));
  }

  /** How long a digest over every page may take on each side, which no round has shown. */
  private Duration verifying(List<FreezePolicy.Round> rounds) {
    if (!plan.options().verify()) {
      return Duration.ZERO;
    }
    long pages = rounds.stream().mapToLong(FreezePolicy.Round::pages).max().orElse(0);
    return Duration.ofNanos(pages * Limits.VERIFY_NS_PER_PAGE_MAX);
  }

  private Step freezing(Freezing phase, Event event) {
    return switch (event) {
      case Frozen() ->
          step(
              new SendingLast(phase.terms(), Optional.empty(), phase.lastMax()),
              new Action.SendLast(),
              new Action.StartTimer(Timer.STEP, phase.lastMax()));
      case TimerFired(var timer) when timer == Timer.STEP ->
          rollBack(Result.ROLLED_BACK, "Freezing the container took too long.");
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> undoable(phase, event, plan.limits().frozenSilence());
    };
  }

  private Step sendingLast(SendingLast phase, Event event) {
    return switch (event) {
      case LastSent(var digest) when phase.readyDigest().isPresent() && !phase.readyDigest().get().equals(digest) ->
          digestsDiffer(digest, phase.readyDigest().get());
      case LastSent(var digest) ->
          step(
              new AwaitingReady(phase.terms(), digest, false, phase.readyDigest()),
              new Action.Hold(),
              new Action.AnnounceLast(digest),
              new Action.StartTimer(Timer.STEP, readyMax(phase)));
      case Ready(var digest) -> step(new SendingLast(phase.terms(), Optional.of(digest), phase.lastMax()));
      case TimerFired(var timer) when timer == Timer.STEP ->
          rollBack(Result.ROLLED_BACK, "Sending the last pages and the state to node " + plan.destination() + " took too long.");
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> undoable(phase, event, plan.limits().frozenSilence());
    };
  }

  private Duration readyMax(SendingLast phase) {
    var usual = plan.limits().engineStep();
    return plan.options().verify() ? usual.plus(phase.lastMax()) : usual;
  }

  private Step awaitingReady(AwaitingReady phase, Event event) {
    return switch (event) {
      case Held() -> releaseWhenBoth(new AwaitingReady(phase.terms(), phase.digest(), true, phase.readyDigest()));
      case Ready(var digest) when digest.equals(phase.digest()) ->
          releaseWhenBoth(new AwaitingReady(phase.terms(), phase.digest(), phase.held(), Optional.of(digest)));
      case Ready(var digest) -> digestsDiffer(phase.digest(), digest);
      case TimerFired(var timer) when timer == Timer.STEP ->
          rollBack(
              Result.ROLLED_BACK,
              phase.held()
                  ? "Node " + plan.destination() + " took too long to recreate the container."
                  : "Handing the container to the freezer took too long.");
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> undoable(phase, event, plan.limits().frozenSilence());
    };
  }

  private Step digestsDiffer(String here, String there) {
    return rollBack(
        Result.ROLLED_BACK,
        "The digests differ: %s here and %s on node %s. Something was changed on its way or by a fault in Gantry."
            .formatted(here, there, plan.destination()));
  }

  private Step releaseWhenBoth(AwaitingReady phase) {
    if (!phase.held() || phase.readyDigest().isEmpty()) {
      return step(phase);
    }
    return step(
        new Releasing(phase.terms(), phase.digest()),
        new Action.WriteReleased(phase.terms(), phase.digest()),
        new Action.StopTimer(Timer.SILENCE),
        new Action.StopTimer(Timer.DEADLINE),
        new Action.StartTimer(Timer.IN_DOUBT, plan.limits().inDoubtAfter()));
  }

  private Step undoable(Phase phase, Event event, Duration silence) {
    return switch (event) {
      case PeerHeard() -> step(phase, new Action.StartTimer(Timer.SILENCE, silence));
      case OperationFailed(var operation, var reason) -> rollBack(Result.ROLLED_BACK, failure(operation, reason));
      case CaptureRefused(var findings) -> rollBack(Result.ROLLED_BACK, sentences(findings));
      case PeerFailed(var reason) -> rollBack(Result.ROLLED_BACK, reason);
      case PeerLost(var reason, var _) -> rollBack(Result.ROLLED_BACK, reason);
      case CancelRequested(var reason) -> rollBack(Result.ROLLED_BACK, reason);
      case TimerFired(var timer) when timer == Timer.SILENCE ->
          rollBack(
              Result.ROLLED_BACK,
              "Node %s was not heard for %d ms (%s); see whether its agent runs and whether it can be reached."
                  .formatted(plan.destination(), silence.toMillis(), phase.title()));
      case TimerFired(var timer) when timer == Timer.DEADLINE -> rollBack(Result.ROLLED_BACK, deadlinePassed(phase));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step rollBack(Result result, String reason) {
    return step(
        new RollingBack(result, reason, 1),
        new Action.CloseStream(),
        new Action.Resume(),
        new Action.SendDiscard(reason),
        new Action.StopTimer(Timer.SILENCE),
        new Action.StopTimer(Timer.DEADLINE),
        new Action.StartTimer(Timer.STEP, plan.limits().engineStep()));
  }

  private Step rollingBack(RollingBack phase, Event event) {
    return switch (event) {
      case Resumed() -> end(phase.result(), phase.reason());
      case OperationFailed(var operation, var reason) when operation == Operation.RESUME && phase.attempt() >= plan.limits()
          .undosMax() ->
          end(Result.IN_DOUBT, phase.reason() + " The container could not be let go here either: " + reason);
      case OperationFailed(var operation, var _) when operation == Operation.RESUME ->
          step(
              new RollingBack(phase.result(), phase.reason(), phase.attempt() + 1),
              new Action.StartTimer(Timer.STEP, plan.limits().undoRepeat()));
      case TimerFired(var timer) when timer == Timer.STEP && phase.attempt() > 1 ->
          step(phase, new Action.Resume(), new Action.StartTimer(Timer.STEP, plan.limits().engineStep()));
      case TimerFired(var timer) when timer == Timer.STEP ->
          // Not an end: the engine may hang for long, and the container's next visitor must not come before it answers.
          step(
              phase,
              new Action.TellInDoubt(phase.reason() + " Letting the container run on takes unusually long."),
              new Action.StartTimer(Timer.STEP, plan.limits().engineStep()));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  // ── the commit and after ─────────────────────────────────────────────────────────────────────────────────────────

  private Step releasing(Releasing phase, Event event) {
    return switch (event) {
      case ReleasedWritten() -> activate(phase.terms(), phase.digest());
      case LedgerFailed(var reason, var certain) when certain -> rollBack(Result.ROLLED_BACK, reason);
      case LedgerFailed(var reason, var _) -> unsay(phase.terms(), reason, false);
      case TimerFired(var timer) when timer == Timer.IN_DOUBT ->
          step(phase,
              new Action.TellInDoubt("The ledger of node " + plan.source()
                  + " has not answered yet; the container stays frozen until it does."));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step activate(Terms terms, String digest) {
    return step(
        new Activating(terms, digest, 1, false),
        new Action.SendActivate(terms, digest),
        new Action.StartTimer(Timer.STEP, plan.limits().activateRepeat()),
        new Action.StartTimer(Timer.IN_DOUBT, plan.limits().inDoubtAfter()));
  }

  private Step activating(Activating phase, Event event) {
    return switch (event) {
      case Activated() ->
          step(
              new Destroying(1),
              new Action.StopTimer(Timer.IN_DOUBT),
              new Action.DestroyOriginal(),
              new Action.StartTimer(Timer.STEP, plan.limits().engineStep()));
      case Answered(var standing, var ledgerId) when standing == Standing.NEVER_OWNED
          && ledgerId.equals(phase.terms().ledgerId()) ->
          takeBack(phase.terms(), "Node " + plan.destination() + " lost its copy before it owned it.");
      case Answered(var standing, var ledgerId) when standing == Standing.NEVER_OWNED ->
          step(phase, new Action.TellInDoubt(otherLedger(phase.terms(), ledgerId)));
      case PeerConfirmedOff(var reason) -> takeBack(phase.terms(), reason);
      case TimerFired(var timer) when timer == Timer.STEP -> {
        var wait = plan.limits().activateRepeat().multipliedBy(1L << Math.min(phase.sent(), 10));
        var longest = plan.limits().activateRepeatMax();
        yield step(
            new Activating(phase.terms(), phase.digest(), phase.sent() + 1, phase.told()),
            new Action.SendActivate(phase.terms(), phase.digest()),
            new Action.StartTimer(Timer.STEP, wait.compareTo(longest) < 0 ? wait : longest));
      }
      case TimerFired(var timer) when timer == Timer.IN_DOUBT && !phase.told() ->
          step(
              new Activating(phase.terms(), phase.digest(), phase.sent(), true),
              new Action.TellInDoubt(
                  ("Node %s has the right to run container %s and has not confirmed that it does. "
                      + "The original stays frozen here until node %s answers.")
                      .formatted(plan.destination(), plan.container(), plan.destination())));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step unsay(Terms terms, String reason, boolean told) {
    return step(
        new Unsaying(terms, reason, told),
        new Action.WriteTakenBack(terms),
        new Action.StartTimer(Timer.IN_DOUBT, plan.limits().inDoubtAfter()));
  }

  private Step unsaying(Unsaying phase, Event event) {
    return switch (event) {
      case OwnedWritten() -> rollBack(Result.ROLLED_BACK, phase.reason());
      case LedgerFailed(var _, var _) -> step(phase, new Action.StartTimer(Timer.STEP, plan.limits().undoRepeat()));
      case TimerFired(var timer) when timer == Timer.STEP -> step(phase, new Action.WriteTakenBack(phase.terms()));
      case TimerFired(var timer) when timer == Timer.IN_DOUBT && !phase.told() ->
          step(
              new Unsaying(phase.terms(), phase.reason(), true),
              new Action.TellInDoubt(
                  phase.reason()
                      + " The container stays frozen until the ledger can be written again;"
                      + " make room on its disk or repair it."));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step takeBack(Terms terms, String reason) {
    return step(new TakingBack(terms, reason), new Action.WriteTakenBack(terms), new Action.StopTimer(Timer.STEP));
  }

  private Step takingBack(TakingBack phase, Event event) {
    return switch (event) {
      case OwnedWritten() -> rollBack(Result.ROLLED_BACK, phase.reason());
      case LedgerFailed(var _, var _) -> step(phase, new Action.StartTimer(Timer.STEP, plan.limits().undoRepeat()));
      case TimerFired(var timer) when timer == Timer.STEP -> step(phase, new Action.WriteTakenBack(phase.terms()));
      case TimerFired(var timer) when timer == Timer.IN_DOUBT ->
          step(phase, new Action.TellInDoubt(phase.reason() + " It is taken back here as soon as the ledger can be written."));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step destroying(Destroying phase, Event event) {
    return switch (event) {
      case OriginalDestroyed() -> step(new Forgetting(1), new Action.WriteGone(), new Action.StopTimer(Timer.STEP));
      case OperationFailed(var operation, var reason) when operation == Operation.DESTROY && phase.attempt() >= plan.limits()
          .undosMax() ->
          end(
              Result.COMPLETED,
              ("The copy runs on node %s; the frozen original on node %s could not be removed"
                      + " and is tried again when its agent starts: %s")
                  .formatted(plan.destination(), plan.source(), reason));
      case OperationFailed(var operation, var _) when operation == Operation.DESTROY ->
          step(new Destroying(phase.attempt() + 1), new Action.StartTimer(Timer.STEP, plan.limits().undoRepeat()));
      case TimerFired(var timer) when timer == Timer.STEP && phase.attempt() > 1 ->
          step(phase, new Action.DestroyOriginal(), new Action.StartTimer(Timer.STEP, plan.limits().engineStep()));
      case TimerFired(var timer) when timer == Timer.STEP ->
          step(
              phase,
              new Action.TellInDoubt(
                  "The copy runs on node " + plan.destination() + "; removing the frozen original here takes unusually long."),
              new Action.StartTimer(Timer.STEP, plan.limits().engineStep()));
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  private Step forgetting(Forgetting phase, Event event) {
    return switch (event) {
      case GoneWritten() -> end(Result.COMPLETED, "");
      case LedgerFailed(var reason, var _) when phase.attempt() >= plan.limits().undosMax() ->
          end(Result.COMPLETED, "The copy runs on node " + plan.destination() + "; the source's ledger could not record it: "
              + reason);
      case LedgerFailed(var _, var _) ->
          step(new Forgetting(phase.attempt() + 1), new Action.StartTimer(Timer.STEP, plan.limits().undoRepeat()));
      case TimerFired(var timer) when timer == Timer.STEP -> step(phase, new Action.WriteGone());
      case OfEngine _, OfPeer _, OfLedger _, OfUser _, TimerFired _ -> step(phase);
    };
  }

  // ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────

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

  private String deadlinePassed(Phase phase) {
    return "The deadline of %d ms passed in phase %s.".formatted(plan.options().deadline().toMillis(), phase.title());
  }

  private static String failure(Operation operation, String reason) {
    return "While " + operation.words + ": " + reason;
  }

  private String otherLedger(Terms terms, String ledgerId) {
    return ("Node %s answers from another ledger (%s) than the one that accepted the move (%s), so its word does not count;"
            + " the original stays frozen.")
        .formatted(plan.destination(), ledgerId, terms.ledgerId());
  }

  private static String sentences(List<Finding> findings) {
    return findings.stream().map(Finding::toString).collect(Collectors.joining("; "));
  }
}
