package io.gantry.actors.migration;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.PageLinks.Endpoint;
import io.gantry.actors.migration.SourceTransition.*;
import io.gantry.actors.protocol.PeerMessage.Standing;
import io.gantry.checkpoint.Finding;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/**
 * Walks every state that the source can reach under any order of answers, failures, messages and timers, and checks the rules
 * of ownership in each.
 */
class SourceTransitionTest {
  private static final Terms TERMS = new Terms(2, new Endpoint("127.0.0.3", 4000, new byte[] {1}), "ledger-b");
  private static final List<Finding> FINDINGS = List.of(new Finding(7, 3, "io_uring", "cannot be carried."));
  private static final List<Finding> FILES = List.of(new Finding(0, -1, Finding.FILE, "/tmp/a does not exist on this host."));
  private static final List<Finding> OTHER_FILES =
      List.of(new Finding(0, -1, Finding.FILE, "/tmp/b does not exist on this host."));
  private static final FreezePolicy.Round QUIET = new FreezePolicy.Round(1000, 0, 4_096_000, 4_096_000, 0);
  private static final FreezePolicy.Round BUSY = new FreezePolicy.Round(100_000, 0, 409_600_000, 409_600_000, 90_000);

  private static final SourceTransition.Limits LIMITS =
      new SourceTransition.Limits(
          Duration.ofSeconds(15),
          Duration.ofSeconds(3),
          3,
          Duration.ofMillis(200),
          Duration.ofSeconds(2),
          Duration.ofSeconds(5),
          Duration.ofMillis(800),
          Duration.ofSeconds(3),
          Duration.ofMillis(100),
          Duration.ofMillis(400),
          Duration.ofSeconds(5),
          Duration.ofMillis(200),
          3);

  private static final SourceTransition SOURCE =
      new SourceTransition(
          new Plan("a.1.1", "web", "a", "b", MigrateOptions.defaults().withOnStall(MigrateOptions.OnStall.ABORT), LIMITS));

  /** What is on the source's disk about this move. */
  private enum Disk {
    NOTHING,
    UNKNOWN,
    RELEASED,
    TAKEN_BACK,
    GONE
  }

  /** Everything outside the function that decides which events can come and what would be wrong. */
  private record World(
      Phase phase, Disk disk, Set<String> awaited, Set<Timer> timers, boolean touched, boolean held, boolean ready,
          boolean activated) {}

  private record Edge(World from, Event event) {}

  @Test
  void theStraightWayEndsCompleted() {
    var phase = SOURCE.begin().phase();
    var done = new ArrayList<String>();
    for (var event :
        List.of(
            new Inspected(List.of()),
            new Accepted(TERMS),
            new CaptureBegun(),
            new RoundSent(BUSY, 0, 60_000_000_000L),
            new RoundSent(QUIET, 0, 60_000_000_000L),
            new RoundApplied(2),
            new Frozen(),
            new LastSent("d"),
            new Held(),
            new Ready("d"),
            new ReleasedWritten(),
            new Activated(),
            new OriginalDestroyed(),
            new GoneWritten())) {
      var step = SOURCE.transition(phase, event);
      phase = step.phase();
      done.add(phase.title());
    }
    assertThat(done)
        .containsExactly(
            "Offering", "Connecting", "PreCopying", "PreCopying", "PreCopying", "Freezing", "SendingLast", "AwaitingReady", "AwaitingReady",
                "Releasing",
            "Activating", "Destroying", "Forgetting", "Ended");
    assertThat(phase).isEqualTo(new Ended(Result.COMPLETED, ""));
  }

  @Test
  void aWrongDigestRollsBack() {
    var step = SOURCE.transition(new AwaitingReady(TERMS, "d", true, Optional.empty()), new Ready("e"));
    assertThat(step.phase())
        .isInstanceOfSatisfying(RollingBack.class, back -> assertThat(back.reason()).contains("digests differ"));
    assertThat(step.actions()).noneMatch(action -> action instanceof Action.WriteReleased);
  }

  @Test
  void aReadyThatOvertakesTheEndOfSendingCountsAndItsDigestIsCompared() {
    var early = SOURCE.transition(new SendingLast(TERMS, Optional.empty(), Duration.ofSeconds(3)), new Ready("d")).phase();
    assertThat(SOURCE.transition(early, new LastSent("d")).phase())
        .isEqualTo(new AwaitingReady(TERMS, "d", false, Optional.of("d")));
    assertThat(SOURCE.transition(early, new LastSent("e")).phase()).isInstanceOf(RollingBack.class);
  }

  @Test
  void sendingTheLastPagesHasADeadlineOfItsOwnAlthoughTheDestinationIsHeard() {
    var frozen = SOURCE.transition(new Freezing(TERMS, Duration.ofSeconds(4)), new Frozen());
    assertThat(frozen.actions()).contains(new Action.StartTimer(Timer.STEP, Duration.ofSeconds(4)));
    var heard = SOURCE.transition(frozen.phase(), new PeerHeard());
    assertThat(heard.actions()).noneMatch(action -> action instanceof Action.StartTimer(var timer, var _) && timer == Timer.STEP);
    var late = SOURCE.transition(heard.phase(), new TimerFired(Timer.STEP));
    assertThat(late.phase()).isInstanceOf(RollingBack.class);
    assertThat(late.actions()).contains(new Action.CloseStream(), new Action.Resume());
  }

  @Test
  void whatIsFoundOnlyWhenTheContainerStandsStillRollsBackAtOnce() {
    for (var phase : List.of(new PreCopying(TERMS, List.of(), Pace.BEGIN), new SendingLast(TERMS, Optional.empty(), Duration.ofSeconds(3)))) {
      var step = SOURCE.transition(phase, new CaptureRefused(FINDINGS));
      assertThat(step.phase()).isInstanceOfSatisfying(RollingBack.class, back -> assertThat(back.reason()).contains("io_uring"));
      assertThat(step.actions()).contains(new Action.Resume());
    }
  }

  @Test
  void anAnswerFromAnotherLedgerDoesNotCount() {
    var activating = new Activating(TERMS, "d", 3, true);
    var step = SOURCE.transition(activating, new Answered(Standing.NEVER_OWNED, "another"));
    assertThat(step.phase()).isEqualTo(activating);
    assertThat(step.actions()).singleElement().isInstanceOf(Action.TellInDoubt.class);
    assertThat(SOURCE.transition(activating, new Answered(Standing.NEVER_OWNED, "ledger-b")).phase())
        .isInstanceOf(TakingBack.class);
    assertThat(SOURCE.transition(activating, new Answered(Standing.HELD, "ledger-b")).phase()).isEqualTo(activating);
  }

  @Test
  void aPersonsWordThatTheDestinationIsOffTakesTheContainerBackInTheLedgerFirst() {
    var step = SOURCE.transition(new Activating(TERMS, "d", 3, true), new PeerConfirmedOff("It is off."));
    assertThat(step.phase()).isEqualTo(new TakingBack(TERMS, "It is off."));
    assertThat(step.actions()).contains(new Action.WriteTakenBack(TERMS)).doesNotContain(new Action.Resume());
    var written = SOURCE.transition(step.phase(), new OwnedWritten());
    assertThat(written.actions()).contains(new Action.Resume());
    assertThat(written.phase())
        .isInstanceOfSatisfying(RollingBack.class, back -> assertThat(back.reason()).isEqualTo("It is off."));
  }

  @Test
  void aPersonsWordCountsOnlyInDoubt() {
    for (var phase :
        List.of(new PreCopying(TERMS, List.of(), Pace.BEGIN), new AwaitingReady(TERMS, "d", true, Optional.empty()),
            new Releasing(TERMS, "d"),
            new Unsaying(TERMS, "full.", false), new TakingBack(TERMS, "lost."), new Destroying(1), new Forgetting(1))) {
      assertThat(SOURCE.transition(phase, new PeerConfirmedOff("It is off."))).isEqualTo(new Step(phase, List.of()));
    }
  }

  @Test
  void aPassingRefusalIsWaitedOutWithGrowingPausesUntilTheDeadlineAndTheOutcomeSaysWhy() {
    var phase = SOURCE.transition(SOURCE.begin().phase(), new Inspected(List.of())).phase();
    var pauses = new ArrayList<Duration>();
    for (var i = 0; i < 12; i++) {
      var step = SOURCE.transition(phase, phase instanceof Offering ? new Refused(FINDINGS, true) : new TimerFired(Timer.STEP));
      if (step.phase() instanceof Pausing) {
        step.actions().forEach(action -> pauses.add(((Action.StartTimer) action).after()));
        assertThat(SourceTransition.awaited(step.phase())).contains("io_uring");
        var late = SOURCE.transition(step.phase(), new TimerFired(Timer.DEADLINE)).phase();
        assertThat(late)
            .isInstanceOfSatisfying(
                Ended.class,
                ended -> {
                  assertThat(ended.result()).isEqualTo(Result.REFUSED);
                  assertThat(ended.reason()).contains("deadline").contains("io_uring");
                });
      }
      phase = step.phase();
    }
    assertThat(pauses)
        .containsExactly(
            Duration.ofMillis(200), Duration.ofMillis(400), Duration.ofMillis(800), Duration.ofMillis(1600),
                Duration.ofSeconds(2), Duration.ofSeconds(2));
  }

  @Test
  void theContainerIsNotFrozenBeforeTheDestinationHasTakenInWhatWasSent() {
    var begun = SOURCE.transition(new Connecting(TERMS), new CaptureBegun()).phase();
    var waiting = SOURCE.transition(begun, new RoundSent(QUIET, 0, 60_000_000_000L));
    assertThat(waiting.phase()).isInstanceOf(PreCopying.class);
    assertThat(waiting.actions()).containsExactly(new Action.StartTimer(Timer.STEP, SourceTransition.PACE_SOON));
    assertThat(SOURCE.transition(waiting.phase(), new RoundApplied(1)).phase()).isInstanceOf(Freezing.class);
    // One that is ahead is not waited for.
    var ahead = SOURCE.transition(begun, new RoundApplied(1)).phase();
    assertThat(SOURCE.transition(ahead, new RoundSent(QUIET, 0, 60_000_000_000L)).phase()).isInstanceOf(Freezing.class);
    // One that takes long has another round sent, and one that says nothing does not keep the move.
    var late = SOURCE.transition(waiting.phase(), new TimerFired(Timer.STEP));
    assertThat(late.actions()).containsExactly(new Action.StartTimer(Timer.STEP, SourceTransition.PACE_MAX));
    var again = SOURCE.transition(late.phase(), new RoundApplied(1));
    assertThat(again.actions()).containsExactly(new Action.StopTimer(Timer.STEP), new Action.SendRound(1));
    assertThat(SOURCE.transition(late.phase(), new TimerFired(Timer.STEP)).phase()).isInstanceOf(Freezing.class);
  }

  @Test
  void aDestinationThatIsAlwaysBehindIsNotWaitedForForEver() {
    var phase = SOURCE.transition(new Connecting(TERMS), new CaptureBegun()).phase();
    int rounds = 0;
    while (phase instanceof PreCopying) {
      rounds++;
      phase = SOURCE.transition(phase, new RoundSent(QUIET, 0, 60_000_000_000L)).phase();
      if (phase instanceof PreCopying) {
        phase = SOURCE.transition(phase, new TimerFired(Timer.STEP)).phase();
        phase = SOURCE.transition(phase, new RoundApplied(rounds)).phase();
      }
    }
    assertThat(phase).isInstanceOf(Freezing.class);
    assertThat(rounds).isEqualTo(SourceTransition.PACE_WAITS_MAX + 1);
  }

  @Test
  void aDigestOverEveryPageHasTheTimeThatItTakes() {
    var gibibytes = new FreezePolicy.Round(8 << 18, 0, 8L << 30, 8_000_000_000L, 0);
    var verified =
        new SourceTransition(
            new Plan("a.1.1", "web", "a", "b", new MigrateOptions(Duration.ofMillis(20), Duration.ofMinutes(5), MigrateOptions.OnStall.FREEZE, true), LIMITS));
    var copying = new PreCopying(TERMS, List.of(), new Pace(1, Optional.empty(), false, 0));
    var quick = (Freezing) SOURCE.transition(copying, new RoundSent(gibibytes, 0, 60_000_000_000L)).phase();
    var slow = (Freezing) verified.transition(copying, new RoundSent(gibibytes, 0, 60_000_000_000L)).phase();
    assertThat(quick.lastMax()).isLessThan(Duration.ofSeconds(4));
    assertThat(slow.lastMax().minus(quick.lastMax())).isGreaterThan(Duration.ofMinutes(3));
    var sending = verified.transition(slow, new Frozen());
    assertThat(sending.actions()).contains(new Action.StartTimer(Timer.STEP, slow.lastMax()));
    assertThat(verified.transition(sending.phase(), new LastSent("d")).actions())
        .contains(new Action.StartTimer(Timer.STEP, LIMITS.engineStep().plus(slow.lastMax())));
  }

  @Test
  void filesThatAreGoneAtTheNextLookDoNotStandInTheWay() {
    var phase = SOURCE.transition(SOURCE.begin().phase(), new Inspected(List.of())).phase();
    var again = SOURCE.transition(phase, new Refused(FILES, false));
    assertThat(again.phase()).isInstanceOf(Inspecting.class);
    assertThat(again.actions()).contains(new Action.Inspect());
    var offered = SOURCE.transition(again.phase(), new Inspected(List.of()));
    assertThat(offered.actions()).contains(new Action.SendOffer());
    assertThat(SOURCE.transition(offered.phase(), new Accepted(TERMS)).phase()).isEqualTo(new Connecting(TERMS));
    assertThat(SOURCE.transition(offered.phase(), new Refused(OTHER_FILES, false)).phase()).isInstanceOf(Inspecting.class);
  }

  @Test
  void filesThatTwoLooksFindAreARefusalAndSoIsAnythingElseAtOnce() {
    var offering = SOURCE.transition(SOURCE.begin().phase(), new Inspected(List.of())).phase();
    assertThat(SOURCE.transition(offering, new Refused(FINDINGS, false)).phase()).isInstanceOf(Ended.class);
    var both = new ArrayList<>(FINDINGS);
    both.addAll(FILES);
    assertThat(SOURCE.transition(offering, new Refused(both, false)).phase()).isInstanceOf(Ended.class);
    var again = SOURCE.transition(SOURCE.transition(offering, new Refused(FILES, false)).phase(), new Inspected(List.of())).phase();
    assertThat(SOURCE.transition(again, new Refused(FILES, false)).phase())
        .isInstanceOfSatisfying(Ended.class, ended -> assertThat(ended.reason()).contains("/tmp/a"));
  }

  @Test
  void aContainerWithOtherFilesAtEveryLookIsNotLookedAtForEver() {
    var phase = SOURCE.transition(SOURCE.begin().phase(), new Inspected(List.of())).phase();
    int looks = 0;
    while (phase instanceof Offering) {
      phase = SOURCE.transition(phase, new Refused(looks % 2 == 0 ? FILES : OTHER_FILES, false)).phase();
      if (phase instanceof Inspecting) {
        looks++;
        phase = SOURCE.transition(phase, new Inspected(List.of())).phase();
      }
    }
    assertThat(looks).isEqualTo(SourceTransition.LOOKS_MAX);
    assertThat(phase).isInstanceOf(Ended.class);
  }

  @Test
  void offersThatNobodyAnswersAreRepeatedAndNotForever() {
    var phase = SOURCE.transition(SOURCE.begin().phase(), new Inspected(List.of())).phase();
    var offers = 1;
    while (phase instanceof Offering) {
      phase = SOURCE.transition(phase, new TimerFired(Timer.STEP)).phase();
      offers += phase instanceof Offering ? 1 : 0;
    }
    assertThat(offers).isEqualTo(SOURCE.plan().limits().offersMax());
    assertThat(phase)
        .isInstanceOfSatisfying(Ended.class, ended -> assertThat(ended.reason()).contains("did not answer " + offersMax()));
  }

  private static int offersMax() {
    return SOURCE.plan().limits().offersMax();
  }

  @Test
  void whateverHappensInWhateverOrderTheRulesHold() {
    var begin = SOURCE.begin();
    var seen = new HashMap<World, Edge>();
    var queue = new ArrayDeque<World>();
    var start = after(new World(null, Disk.NOTHING, Set.of(), Set.of(), false, false, false, false), null, begin, List.of());
    seen.put(start, new Edge(null, null));
    queue.add(start);
    var reached = new TreeSet<String>();
    var ends = EnumSet.noneOf(Result.class);
    while (!queue.isEmpty()) {
      var world = queue.remove();
      reached.add(world.phase().title());
      if (world.phase() instanceof Ended(var result, var _)) {
        ends.add(result);
      }
      for (var event : possible(world)) {
        var step = SOURCE.transition(world.phase(), event);
        var next = after(world, event, step, path(seen, world));
        if (seen.putIfAbsent(next, new Edge(world, event)) == null) {
          queue.add(next);
        }
      }
    }
    assertThat(reached)
        .containsExactly(
            "Activating", "AwaitingReady", "Connecting", "Destroying", "Ended", "Forgetting", "Freezing", "Inspecting",
                "Offering", "Pausing",
            "PreCopying", "Releasing", "RollingBack", "SendingLast", "TakingBack", "Unsaying");
    assertThat(ends).containsExactlyInAnyOrder(Result.values());
  }

  /** Every event that the world outside can bring forth now. */
  private static List<Event> possible(World world) {
    var events = new ArrayList<Event>();
    for (var operation : world.awaited()) {
      events.addAll(answers(operation, world));
    }
    world.timers().forEach(timer -> events.add(new TimerFired(timer)));
    events.add(new PeerHeard());
    events.add(new PeerLost("lost.", false));
    events.add(new PeerLost("started anew.", true));
    events.add(new PeerFailed("failed."));
    events.add(new CancelRequested("cancelled."));
    events.add(new PeerConfirmedOff("off."));
    events.add(new Refused(FINDINGS, true));
    events.add(new Refused(FINDINGS, false));
    events.add(new Refused(FILES, false));
    events.add(new Refused(OTHER_FILES, false));
    events.add(new Accepted(TERMS));
    events.add(new Ready("d"));
    events.add(new Ready("other"));
    events.add(new RoundApplied(1));
    events.add(new RoundApplied(3));
    if (world.disk() != Disk.NOTHING) {
      events.add(new Activated());
      events.add(new Answered(Standing.HELD, "ledger-b"));
      events.add(new Answered(Standing.NEVER_OWNED, "ledger-b"));
      events.add(new Answered(Standing.NEVER_OWNED, "other"));
    }
    return events;
  }

  private static List<Event> answers(String operation, World world) {
    return switch (operation) {
      case "Inspect" ->
          List.of(new Inspected(List.of()), new Inspected(FINDINGS), new OperationFailed(Operation.INSPECT, "broken."));
      case "BeginCapture" ->
          List.of(new CaptureBegun(), new CaptureRefused(FINDINGS), new OperationFailed(Operation.CONNECT, "broken."));
      case "SendRound" -> {
        var rounds = world.phase() instanceof PreCopying copying ? copying.rounds().size() : 0;
        var answers = new ArrayList<Event>();
        answers.add(new RoundSent(QUIET, 0, 60_000_000_000L));
        answers.add(new RoundSent(BUSY, 0, -1));
        answers.add(new OperationFailed(Operation.ROUND, "broken."));
        if (rounds < 2) {
          answers.add(new RoundSent(BUSY, 0, 60_000_000_000L));
        }
        yield answers;
      }
      case "Freeze" -> List.of(new Frozen(), new OperationFailed(Operation.FREEZE, "broken."));
      case "SendLast" -> List.of(new LastSent("d"), new OperationFailed(Operation.SEND_LAST, "broken."));
      case "Hold" -> List.of(new Held(), new OperationFailed(Operation.HOLD, "broken."));
      case "Resume" -> List.of(new Resumed(), new OperationFailed(Operation.RESUME, "broken."));
      case "DestroyOriginal" -> List.of(new OriginalDestroyed(), new OperationFailed(Operation.DESTROY, "broken."));
      case "WriteReleased" -> List.of(new ReleasedWritten(), new LedgerFailed("full.", true), new LedgerFailed("broken.", false));
      case "WriteTakenBack" -> List.of(new OwnedWritten(), new LedgerFailed("full.", true), new LedgerFailed("broken.", false));
      case "WriteGone" -> List.of(new GoneWritten(), new LedgerFailed("full.", true));
      default -> throw new IllegalArgumentException(operation);
    };
  }

  /** Follows one step, and checks it. */
  private static World after(World world, Event event, Step step, List<Edge> path) {
    var disk = world.disk();
    var awaited = new HashSet<>(world.awaited());
    var timers = new HashSet<>(world.timers());
    var touched = world.touched();
    var held = world.held();
    var ready = world.ready();
    var activated = world.activated();
    switch (event) {
      case null -> {}
      case ReleasedWritten() -> disk = Disk.RELEASED;
      case OwnedWritten() -> disk = Disk.TAKEN_BACK;
      case GoneWritten() -> disk = Disk.GONE;
      case LedgerFailed(var _, var certain) when awaited.contains("WriteReleased") -> disk = certain ? Disk.NOTHING
          : Disk.UNKNOWN;
      case LedgerFailed _ -> {}
      case Held() -> held = true;
      case Ready(var digest) -> ready = ready || digest.equals("d");
      case Activated() -> activated = true;
      case TimerFired(var timer) -> timers.remove(timer);
      case OfEngine _, OfPeer _, OfUser _ -> {}
    }
    if (event != null) {
      awaited.removeIf(operation -> answers(operation, world).contains(event));
    }
    for (var action : step.actions()) {
      switch (action) {
        case Action.StartTimer(var timer, var after) -> {
          assertThat(after).isPositive();
          timers.add(timer);
        }
        case Action.StopTimer(var timer) -> timers.remove(timer);
        case Action.BeginCapture _ -> {
          touched = true;
          awaited.add("BeginCapture");
        }
        case Action.Resume() -> {
          assertThat(disk).as("thaws only what is certainly its own: %s", path).isIn(Disk.NOTHING, Disk.TAKEN_BACK);
          awaited.add("Resume");
        }
        case Action.WriteReleased(var _, var digest) -> {
          assertThat(held && ready && digest.equals("d")).as("commits only what is held and equal: %s", path).isTrue();
          disk = Disk.UNKNOWN;
          awaited.add("WriteReleased");
        }
        case Action.SendActivate _ -> assertThat(disk).as("activates only what is released: %s", path).isEqualTo(Disk.RELEASED);
        case Action.DestroyOriginal() -> {
          assertThat(activated && disk == Disk.RELEASED).as("destroys only what runs elsewhere: %s", path).isTrue();
          awaited.add("DestroyOriginal");
        }
        case Action.SendDiscard _ -> assertThat(disk).as("discards only what is its own: %s", path)
            .isIn(Disk.NOTHING, Disk.TAKEN_BACK);
        case Action.WriteTakenBack _ -> {
          assertThat(activated && disk == Disk.RELEASED && world.phase() instanceof Destroying).isFalse();
          awaited.add("WriteTakenBack");
        }
        case Action.Finish(var result, var reason) -> {
          assertThat(step.phase()).isEqualTo(new Ended(result, reason));
          assertThat(!reason.isEmpty() || result == Result.COMPLETED).as("says why: %s", path).isTrue();
          if (result == Result.REFUSED || result == Result.ROLLED_BACK) {
            assertThat(disk).as("ends undone only with the container its own: %s", path).isIn(Disk.NOTHING, Disk.TAKEN_BACK);
            assertThat(!touched || event instanceof Resumed).as("ends undone only when it runs again: %s", path).isTrue();
          }
        }
        case Action.Inspect _, Action.SendRound _, Action.Freeze _, Action.SendLast _, Action.Hold _, Action.WriteGone _ ->
            awaited.add(action.getClass().getSimpleName());
        case Action.SendOffer _, Action.AnnounceLast _, Action.CloseStream _, Action.TellInDoubt _ -> {}
      }
    }
    if (step.phase() instanceof Ended) {
      assertThat(timers).as("no timer outlives the move: %s", path).isEmpty();
      awaited.clear();
    } else {
      var waits = awaited.stream().anyMatch(operation -> operation.startsWith("Write") || operation.equals("SendRound"));
      assertThat(waits || !timers.isEmpty()).as("every wait ends: %s after %s, %s", step.phase(), event, path).isTrue();
    }
    return new World(bounded(step.phase()), disk, Set.copyOf(awaited), Set.copyOf(timers), touched, held, ready, activated);
  }

  /** Keeps counters that may grow for ever from making the walk endless. */
  private static Phase bounded(Phase phase) {
    return switch (phase) {
      case Activating(var terms, var digest, var sent, var told) when sent > 3 -> new Activating(terms, digest, 3, told);
      case Offering(var attempt, var refusals, var doubts) when refusals > 2 -> new Offering(attempt, 2, doubts);
      case Pausing(var refusals, var why) when refusals > 2 -> new Pausing(2, why);
      case Phase other -> other;
    };
  }

  private static List<Edge> path(Map<World, Edge> seen, World end) {
    var edges = new ArrayDeque<Edge>();
    for (var at = seen.get(end); at != null && at.event() != null; at = seen.get(at.from())) {
      edges.addFirst(at);
    }
    return List.copyOf(edges);
  }
}
