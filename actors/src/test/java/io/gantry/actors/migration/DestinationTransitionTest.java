package io.gantry.actors.migration;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.actors.PageLinks.Endpoint;
import io.gantry.actors.migration.DestinationTransition.*;
import io.gantry.actors.protocol.PeerMessage.Standing;
import io.gantry.checkpoint.Finding;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/**
 * Walks every state that the destination can reach under any order of answers, failures, messages and timers, and checks the
 * rules of ownership.
 */
class DestinationTransitionTest {
  private static final Endpoint ENDPOINT = new Endpoint("127.0.0.3", 4000, new byte[] {1});
  private static final List<Finding> FINDINGS = List.of(new Finding(0, -1, "name", "is taken."));
  private static final DestinationTransition DESTINATION =
      new DestinationTransition(new Plan("a.1.1", "web", 2, "a", "b", DestinationTransition.Limits.defaults()));

  private enum Disk {
    NOTHING,
    ARRIVING,
    HELD_UNKNOWN,
    HELD,
    OWNED_UNKNOWN,
    OWNED,
    GONE
  }

  /** @param released whether the source has ever said so */
  private record World(Phase phase, Disk disk, Set<String> awaited, Set<Timer> timers, boolean releasedSaid,
      boolean rolledBackSaid, boolean confirmedOff) {}

  private record Edge(World from, Event event) {}

  @Test
  void theStraightWayEndsRunning() {
    var phase = DESTINATION.begin().phase();
    var titles = new ArrayList<String>();
    for (var event :
        List.of(
            new Checked(List.of(), false),
            new ArrivingWritten(),
            new Opened(ENDPOINT),
            new StreamEnded(""),
            new Recreated("d"),
            new HeldWritten(),
            new ActivateAsked(2, "d"),
            new OwnedWritten(),
            new Running())) {
      phase = DESTINATION.transition(phase, event).phase();
      titles.add(phase.title());
    }
    assertThat(titles)
        .containsExactly("Announcing", "Opening", "Receiving", "Recreating", "RecordingHeld", "Holding", "Owning", "Starting",
            "Ended");
    assertThat(phase).isEqualTo(new Ended(Result.RUNNING, ""));
  }

  @Test
  void aHeldCopyOutlastsEveryTimeOutAndAsksInstead() {
    Phase phase = new Holding("d", 0);
    for (var i = 0; i < 100; i++) {
      var step = DESTINATION.transition(phase, i % 2 == 0 ? new TimerFired(Timer.STEP) : new PeerLost("lost."));
      phase = step.phase();
      assertThat(phase).isInstanceOf(Holding.class);
      if (i % 2 == 0) {
        assertThat(step.actions()).contains(new Action.SendQuery());
      }
    }
  }

  @Test
  void anActivateForAnotherEpochOrDigestIsNotObeyed() {
    var holding = new Holding("d", 0);
    assertThat(DESTINATION.transition(holding, new ActivateAsked(3, "d")).phase()).isEqualTo(holding);
    assertThat(DESTINATION.transition(holding, new ActivateAsked(2, "e")).phase()).isEqualTo(holding);
  }

  @Test
  void aPersonsWordThatTheSourceIsOffLetsAHeldCopyRunOnceItIsOwned() {
    var step = DESTINATION.transition(new Holding("d", 7), new PeerConfirmedOff("It is off."));
    assertThat(step.phase()).isEqualTo(new Owning("d"));
    assertThat(step.actions()).contains(new Action.WriteOwned()).doesNotContain(new Action.Run());
    assertThat(DESTINATION.transition(step.phase(), new OwnedWritten()).actions()).contains(new Action.Run());
    assertThat(DESTINATION.transition(step.phase(), new LedgerFailed("full.", true)).phase()).isEqualTo(new Holding("d", 0));
  }

  @Test
  void aPersonsWordCountsOnlyWhileACopyIsHeld() {
    for (var phase :
        List.of(new Opening(), new Receiving(ENDPOINT), new Recreating(ENDPOINT), new RecordingHeld("d"), new Owning("d"),
            new Starting(1), new Discarding("lost.", 1), new Forgetting("lost."))) {
      assertThat(DESTINATION.transition(phase, new PeerConfirmedOff("It is off."))).isEqualTo(new Step(phase, List.of()));
    }
  }

  @Test
  void aLateOfferOfAMoveThatIsOverIsGivenUp() {
    for (var phase : List.of(new Opening(), new Receiving(ENDPOINT), new Recreating(ENDPOINT))) {
      assertThat(DESTINATION.transition(phase, new Answered(Standing.RELEASED)).phase()).isInstanceOf(Discarding.class);
    }
  }

  @Test
  void whateverHappensInWhateverOrderTheRulesHold() {
    for (var first : List.of(DESTINATION.begin(), DESTINATION.recover("d"))) {
      var recovered = first.phase() instanceof Holding;
      var reached = walk(first, recovered ? Disk.HELD : Disk.NOTHING);
      if (!recovered) {
        assertThat(reached)
            .containsExactly(
                "Announcing", "Checking", "Discarding", "Ended", "Forgetting", "Holding", "Opening", "Owning", "Receiving",
                    "RecordingHeld",
                "Recreating", "Starting");
      }
    }
  }

  private static Set<String> walk(Step first, Disk disk) {
    var seen = new HashMap<World, Edge>();
    var queue = new ArrayDeque<World>();
    var start = after(new World(null, disk, Set.of(), Set.of(), false, false, false), null, first, List.of());
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
        var next = after(world, event, DESTINATION.transition(world.phase(), event), path(seen, world));
        if (seen.putIfAbsent(next, new Edge(world, event)) == null) {
          queue.add(next);
        }
      }
    }
    assertThat(ends).contains(Result.DISCARDED, Result.RUNNING);
    return reached;
  }

  private static List<Event> possible(World world) {
    var events = new ArrayList<Event>();
    world.awaited().forEach(operation -> events.addAll(answers(operation)));
    world.timers().forEach(timer -> events.add(new TimerFired(timer)));
    events.add(new OfferRepeated());
    events.add(new PeerLost("lost."));
    events.add(new LastAnnounced("d"));
    events.add(new Answered(Standing.UNDECIDED));
    events.add(new PeerConfirmedOff("off."));
    // A source says either released or rolled back about one migration, never both.
    if (!world.releasedSaid()) {
      events.add(new DiscardAsked("rolled back."));
      events.add(new Answered(Standing.ROLLED_BACK));
    }
    if (!world.rolledBackSaid() && (world.disk() == Disk.HELD || world.releasedSaid())) {
      events.add(new ActivateAsked(2, "d"));
      events.add(new ActivateAsked(9, "d"));
      events.add(new Answered(Standing.RELEASED));
    }
    return events;
  }

  private static List<Event> answers(String operation) {
    return switch (operation) {
      case "Check" ->
          List.of(new Checked(List.of(), false), new Checked(FINDINGS, true), new OperationFailed(Operation.CHECK, "broken."));
      case "Open" -> List.of(new Opened(ENDPOINT), new OperationFailed(Operation.OPEN, "broken."));
      case "Stream" -> List.of(new StreamEnded(""), new StreamEnded("reset."));
      case "Recreate" -> List.of(new Recreated("d"), new OperationFailed(Operation.RECREATE, "broken."));
      case "Run" -> List.of(new Running(), new OperationFailed(Operation.RUN, "broken."));
      case "Discard" -> List.of(new Discarded(), new OperationFailed(Operation.DISCARD, "broken."));
      case "WriteArriving" -> List.of(new ArrivingWritten(), new LedgerFailed("full.", true));
      case "WriteHeld" -> List.of(new HeldWritten(), new LedgerFailed("full.", true), new LedgerFailed("broken.", false));
      case "WriteOwned" -> List.of(new OwnedWritten(), new LedgerFailed("full.", true), new LedgerFailed("broken.", false));
      case "WriteGone" -> List.of(new GoneWritten(), new LedgerFailed("full.", true));
      default -> throw new IllegalArgumentException(operation);
    };
  }

  private static World after(World world, Event event, Step step, List<Edge> path) {
    var disk = world.disk();
    var awaited = new HashSet<>(world.awaited());
    var timers = new HashSet<>(world.timers());
    var releasedSaid = world.releasedSaid();
    var rolledBackSaid = world.rolledBackSaid();
    var confirmedOff = world.confirmedOff();
    switch (event) {
      case null -> {}
      case ArrivingWritten() -> disk = Disk.ARRIVING;
      case HeldWritten() -> disk = Disk.HELD;
      case OwnedWritten() -> disk = Disk.OWNED;
      case GoneWritten() -> disk = Disk.GONE;
      case LedgerFailed(var _, var certain) -> {
        if (disk == Disk.OWNED_UNKNOWN && certain) {
          disk = Disk.HELD;
        }
      }
      case DiscardAsked _ -> rolledBackSaid = true;
      case Answered(var standing) -> {
        rolledBackSaid |= standing == Standing.ROLLED_BACK;
        releasedSaid |= standing == Standing.RELEASED;
      }
      case ActivateAsked _ -> releasedSaid = true;
      case PeerConfirmedOff _ -> confirmedOff |= world.phase() instanceof Holding;
      case Opened _ -> awaited.add("Stream");
      case TimerFired(var timer) -> timers.remove(timer);
      case OfEngine _, OfPeer _, OfUser _ -> {}
    }
    if (event != null) {
      awaited.removeIf(operation -> answers(operation).contains(event));
    }
    for (var action : step.actions()) {
      switch (action) {
        case Action.StartTimer(var timer, var after) -> {
          assertThat(after).isPositive();
          timers.add(timer);
        }
        case Action.StopTimer(var timer) -> timers.remove(timer);
        case Action.Run() -> {
          assertThat(disk).as("runs only what it owns: %s", path).isEqualTo(Disk.OWNED);
          awaited.add("Run");
        }
        case Action.SendActivated() -> assertThat(disk == Disk.OWNED && event instanceof Running)
            .as("says only what is: %s", path).isTrue();
        case Action.SendReady(var digest) -> assertThat(disk).as("ready only when held: %s", path)
            .isIn(Disk.HELD, Disk.OWNED_UNKNOWN);
        case Action.WriteOwned() -> {
          assertThat(releasedSaid || confirmedOff).as("owns only what was released, or is the last copy: %s", path).isTrue();
          disk = Disk.OWNED_UNKNOWN;
          awaited.add("WriteOwned");
        }
        case Action.WriteHeld _ -> {
          disk = Disk.HELD_UNKNOWN;
          awaited.add("WriteHeld");
        }
        case Action.Discard() -> {
          assertThat(disk).as("keeps what is owned: %s", path).isNotIn(Disk.OWNED, Disk.OWNED_UNKNOWN);
          assertThat(disk != Disk.HELD || rolledBackSaid).as("discards a held copy only on the source's word: %s", path).isTrue();
          awaited.add("Discard");
        }
        case Action.SendFailed _ -> assertThat(disk).isNotIn(Disk.OWNED, Disk.OWNED_UNKNOWN);
        case Action.Finish(var result, var reason) -> {
          assertThat(step.phase()).isEqualTo(new Ended(result, reason));
          assertThat(!reason.isEmpty() || result == Result.RUNNING).as("says why: %s", path).isTrue();
          switch (result) {
            case REFUSED -> assertThat(disk).isEqualTo(Disk.NOTHING);
            case DISCARDED -> assertThat(disk).isNotIn(Disk.OWNED, Disk.OWNED_UNKNOWN);
            case RUNNING -> assertThat(disk).isEqualTo(Disk.OWNED);
          }
        }
        case Action.Check _, Action.WriteArriving _, Action.Open _, Action.Recreate _, Action.WriteGone _ ->
            awaited.add(action.getClass().getSimpleName());
        case Action.SendRefused _, Action.SendAccepted _, Action.SendWorking _, Action.SendQuery _, Action.CloseStream _,
            Action.Warn _ -> {}
      }
    }
    if (step.phase() instanceof Ended) {
      assertThat(timers).as("no timer outlives the move: %s", path).isEmpty();
      awaited.clear();
    } else {
      var waits = awaited.stream()
          .anyMatch(operation -> operation.startsWith("Write") || operation.equals("Run") || operation.equals("Discard"));
      assertThat(waits || timers.contains(Timer.STEP)).as("every wait ends: %s after %s, %s", step.phase(), event, path).isTrue();
    }
    return new World(
        bounded(step.phase()), disk, Set.copyOf(awaited), Set.copyOf(timers), releasedSaid, rolledBackSaid, confirmedOff);
  }

  private static Phase bounded(Phase phase) {
    return switch (phase) {
      case Holding(var digest, var asked) when asked > 2 -> new Holding(digest, 2);
      case Starting(var attempt) when attempt > 3 -> new Starting(3);
      case Discarding(var reason, var attempt) when attempt > 3 -> new Discarding(reason, 3);
      case Checking _, Announcing _, Opening _, Receiving _, Recreating _, RecordingHeld _, Holding _, Owning _, Starting _,
          Discarding _, Forgetting _, Ended _ ->
          phase;
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
