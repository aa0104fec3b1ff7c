package io.gantry.actors.migration;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.PostStop;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import akka.actor.typed.javadsl.TimerScheduler;
import io.gantry.actors.BlockingLane;
import io.gantry.actors.LedgerActor;
import io.gantry.actors.MigrationOutcome;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.MigrationProgress;
import io.gantry.actors.PageLinkException;
import io.gantry.actors.PageLinks;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.World;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.link.Links;
import io.gantry.actors.migration.SourceTransition.Action;
import io.gantry.actors.migration.SourceTransition.Event;
import io.gantry.actors.migration.SourceTransition.Operation;
import io.gantry.actors.migration.SourceTransition.Phase;
import io.gantry.actors.migration.SourceTransition.Step;
import io.gantry.actors.migration.SourceTransition.Terms;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.actors.protocol.PeerMessage.Standing;
import io.gantry.actors.protocol.ProtocolVersion;
import io.gantry.checkpoint.Capture;
import io.gantry.checkpoint.CaptureOptions;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.ContainerHandle;
import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.HaulWish;
import io.gantry.checkpoint.RefusedException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * The source of one move: performs what {@link SourceTransition} decides and reports what came of it. One actor per move;
 * stops when the move has ended.
 *
 * <p>If it dies of a fault before the commit, the capture is closed and the container runs on; the guardian reads the ledger
 * and does the rest.
 */
public final class OutgoingMigration {
  private static final Duration SHOW_HAUL_EVERY = Duration.ofSeconds(1);

  public sealed interface Message {}

  /** Something of the destination's. */
  public record FromPeer(PeerMessage message) implements Message {}

  /** The membership says that a node cannot be reached. @param restarted its agent was started anew and can be reached */
  public record PeerLost(String reason, boolean restarted) implements Message {}

  /** Answered by {@link CancelAnswered} when it can be answered. */
  public record Cancel(String reason, Optional<ActorRef<NodeCommand.CancelReply>> replyTo) implements Message {}

  /** The destination's host is off, somebody answers for that. Answered by {@link ResolveAnswered} when it can be answered. */
  public record ConfirmOff(String reason, Optional<ActorRef<NodeCommand.ResolveReply>> replyTo) implements Message {}

  private record Happened(Event event) implements Message {}

  /** An operation has ended; {@code remember} keeps its figures, on the actor's thread. */
  private record Did(Runnable remember, Event event) implements Message {}

  /** It is time to tell how far files have come. */
  private record ShowHaul() implements Message {}

  private record LedgerReplied(LedgerActor.Reply reply) implements Message {}

  /** What the one who started the move is told. */
  public sealed interface Notice {}

  public record Progressed(MigrationProgress progress) implements Notice {}

  /** The user should know; the move goes on. */
  public record InDoubt(String migration, MigrationOutcome outcome) implements Notice {}

  /** The last message. */
  public record Ended(String migration, MigrationOutcome outcome) implements Notice {}

  /** To be passed on; when the move has ended, after {@link Ended}. */
  public record CancelAnswered(ActorRef<NodeCommand.CancelReply> replyTo, NodeCommand.CancelReply reply) implements Notice {}

  /** As {@link CancelAnswered}. */
  public record ResolveAnswered(ActorRef<NodeCommand.ResolveReply> replyTo, NodeCommand.ResolveReply reply) implements Notice {}

  /** What the pause of a container of that shape has cost without its last pages. */
  public record PauseLearned(PauseModel.Shape shape, long fixedNs) implements Notice {}

  /**
   * @param plan what does not change
   * @param entry what the ledger says of the container now
   * @param node this one's guardian
   * @param ledger this host's
   */
  public record Setup(
      World world, Links links, SourceTransition.Plan plan, LedgerEntry entry, PauseModel pauses,
          ActorRef<LedgerActor.Message> ledger, ActorRef<Notice> node) {}

  private final ActorContext<Message> context;
  private final TimerScheduler<Message> timers;
  private final Setup setup;
  private final SourceRules transition;
  private final MoveFigures figures;
  private final BlockingLane lane;
  private final Behavior<Message> running;
  private final ContainerHandle handle;
  private final ActorRef<LedgerActor.Reply> ledgerReplies;
  private final List<ActorRef<NodeCommand.CancelReply>> cancelling = new ArrayList<>();
  private final List<ActorRef<NodeCommand.ResolveReply>> resolving = new ArrayList<>();
  private LedgerEntry entry;
  private Footprint footprint;
  private Phase phase;
  // The two below are set and used on the lane; the actor only closes the stream and asks how far files have come, which any thread may.
  private volatile PageLinks.Sending stream;
  private volatile Capture capture;
  private List<HaulWish> hauls = List.of();

  private OutgoingMigration(ActorContext<Message> context, TimerScheduler<Message> timers, Setup setup) {
    this.context = context;
    this.timers = timers;
    this.setup = setup;
    this.entry = setup.entry();
    this.transition = setup.world().rules().source().apply(setup.plan());
    this.figures = new MoveFigures(setup.plan(), setup.world().nowNs());
    this.lane = new BlockingLane(setup.world().blocking());
    this.handle = entry.handle()
        .orElseThrow(() -> new IllegalStateException("The ledger does not say where container " + entry.container() + " is."));
    this.ledgerReplies = context.messageAdapter(LedgerActor.Reply.class, LedgerReplied::new);
    this.running = running();
  }

  /** A new move. */
  public static Behavior<Message> begin(Setup setup) {
    return create(setup, SourceRules::begin);
  }

  /** A move that a restarted agent has found RELEASED. */
  public static Behavior<Message> recover(Setup setup) {
    var entry = setup.entry();
    // The endpoint of the page stream is of no use any more.
    var terms = new Terms(entry.epoch(), new PageLinks.Endpoint("", 0, new byte[0]), entry.peerLedgerId());
    return create(setup, transition -> transition.recover(terms, entry.digest()));
  }

  private static Behavior<Message> create(Setup setup, Function<SourceRules, Step> first) {
    return Behaviors.setup(
        context ->
            Behaviors.withTimers(
                timers -> {
                  var migration = new OutgoingMigration(context, timers, setup);
                  return migration.perform(first.apply(migration.transition));
                }));
  }

  private Behavior<Message> running() {
    return Behaviors.receive(Message.class)
        .onMessage(Happened.class, message -> on(message.event()))
        .onMessage(
            Did.class,
            message -> {
              message.remember().run();
              return on(message.event());
            })
        .onMessage(LedgerReplied.class, message -> onLedger(message.reply()))
        .onMessage(ShowHaul.class, _ -> showHaul())
        .onMessage(FromPeer.class, message -> onPeer(message.message()))
        .onMessage(PeerLost.class, message -> on(new SourceTransition.PeerLost(message.reason(), message.restarted())))
        .onMessage(Cancel.class, this::onCancel)
        .onMessage(ConfirmOff.class, this::onConfirmOff)
        .onSignal(
            PostStop.class,
            _ -> {
              release();
              return Behaviors.same();
            })
        .build();
  }

  private Behavior<Message> on(Event event) {
    return perform(transition.transition(phase, event));
  }

  private Behavior<Message> perform(Step step) {
    var changed = phase == null || phase.getClass() != step.phase().getClass();
    if (changed) {
      context.getLog()
          .info("Migration {} of container {}: {}", setup.plan().migration(), setup.plan().container(), step.phase().title());
    }
    phase = step.phase();
    var next = running;
    for (var action : step.actions()) {
      perform(action);
      if (action instanceof Action.Finish) {
        next = Behaviors.stopped();
      }
    }
    if (changed) {
      tellProgress(SourceTransition.awaited(phase));
    }
    return next;
  }

  private void perform(Action action) {
    switch (action) {
      case Action.Inspect() -> inspect();
      case Action.SendOffer() -> sendOffer();
      case Action.BeginCapture(var endpoint) -> beginCapture(endpoint);
      case Action.SendRound _ -> sendRound();
      case Action.Freeze(var prediction, var note) -> freeze(prediction, note);
      case Action.SendLast() -> sendLast();
      case Action.Hold() -> run(Operation.HOLD, capture::hold, new SourceTransition.Held());
      case Action.AnnounceLast(var digest) -> send(new PeerMessage.LastSent(self(), migration(), digest));
      case Action.WriteReleased(var terms, var digest) -> write(released(terms, digest));
      case Action.SendActivate(var terms, var digest) ->
          send(new PeerMessage.Activate(self(), migration(), setup.plan().container(), terms.epoch(), digest));
      case Action.WriteTakenBack(var terms) -> write(released(terms, "").takenBack());
      case Action.SendDiscard(var reason) -> send(new PeerMessage.Discard(self(), migration(), reason));
      case Action.CloseStream() -> closeStream();
      case Action.Resume() -> run(Operation.RESUME, this::resume, new SourceTransition.Resumed());
      case Action.DestroyOriginal() -> run(Operation.DESTROY, this::destroyOriginal, new SourceTransition.OriginalDestroyed());
      case Action.WriteGone() -> write(entry.gone());
      case Action.StartTimer(var timer, var after) ->
          timers.startSingleTimer(timer, new Happened(new SourceTransition.TimerFired(timer)), after);
      case Action.StopTimer(var timer) -> timers.cancel(timer);
      case Action.TellInDoubt(var reason) -> {
        context.getLog().warn("Migration {} of container {}: {}", migration(), setup.plan().container(), reason);
        setup.node().tell(new InDoubt(migration(), figures.outcome(Result.IN_DOUBT, reason)));
      }
      case Action.Finish(var result, var reason) -> finish(result, reason);
    }
  }

  // ── the engine and the stream ────────────────────────────────────────────────────────────────────────────────────

  private void inspect() {
    run(
        Operation.INSPECT,
        () -> setup.world().engine().inspect(handle),
        found -> {
          footprint = found;
          figures.inspected(found);
        },
        found -> new SourceTransition.Inspected(found.findings()));
  }

  private void beginCapture(PageLinks.Endpoint endpoint) {
    var world = setup.world();
    var options = setup.plan().options();
    var wanted = hauls;
    if (!wanted.isEmpty()) {
      timers.startTimerAtFixedRate(new ShowHaul(), SHOW_HAUL_EVERY);
    }
    run(
        Operation.CAPTURE,
        () -> {
          stream = world.pageLinks().send(migration(), endpoint, setup.plan().limits().silence());
          capture = world.engine().capture(handle, new CaptureOptions(options.verify(), wanted));
          return true;
        },
        _ -> {},
        _ -> new SourceTransition.CaptureBegun());
  }

  private void sendRound() {
    var to = stream;
    run(
        Operation.ROUND,
        () -> capture.round(to),
        report -> {
          var round = figures.roundSent(report, to.bytesSent(), to.zeroPagesSent());
          var rounds = figures.rounds();
          figures.predicted(FreezePolicy.predict(rounds, rounds.size(), setup.pauses().fixedNs(figures.shape())));
          send(new PeerMessage.RoundSent(self(), migration(), rounds.size(), round.pages(), round.bytes()));
          tellProgress("");
        },
        report ->
            new SourceTransition.RoundSent(
                MoveFigures.round(report),
                setup.pauses().fixedNs(figures.shape()),
                setup.plan().options().deadline().toNanos() - figures.elapsedNs()));
  }

  private void freeze(FreezePolicy.Prediction prediction, String note) {
    figures.freezeBegins(prediction, note);
    run(Operation.FREEZE, () -> capture.freeze(), figures::frozen, _ -> new SourceTransition.Frozen());
  }

  private void sendLast() {
    var to = stream;
    run(
        Operation.SEND_LAST,
        () -> {
          var report = capture.sendLast(to);
          to.end();
          return report;
        },
        report -> figures.lastSent(report, to.bytesSent(), to.zeroPagesSent()),
        report -> new SourceTransition.LastSent(report.digest()));
  }

  /** On the lane. */
  private void resume() {
    if (capture != null) {
      capture.resume();
      capture.close();
      capture = null;
    } else if (entry.status() == LedgerEntry.Status.OWNED || entry.status() == LedgerEntry.Status.RELEASED) {
      setup.world().engine().thaw(handle); // found frozen by a restarted agent; does nothing to one that runs
    }
  }

  /** On the lane. */
  private void destroyOriginal() {
    if (capture != null) {
      capture.destroyOriginal();
      capture.close();
      capture = null;
    } else {
      setup.world().engine().destroy(handle);
    }
    closeStreamNow();
    setup.world().directories().remove(setup.plan().container());
  }

  private void closeStream() {
    // Not on the lane: this is what ends a call there that hangs in the stream.
    setup
        .world()
        .blocking()
        .make(
            () -> {
              closeStreamNow();
              return true;
            });
  }

  private void closeStreamNow() {
    var open = stream;
    if (open != null) {
      open.close();
    }
  }

  /** After the end, or after a fault of this actor. A held container stays held, anything else runs on. */
  private void release() {
    lane.submit(
        () -> {
          closeStreamNow();
          if (capture != null) {
            capture.close();
          }
          return true;
        });
  }

  private void run(Operation operation, Runnable call, Event done) {
    run(
        operation,
        () -> {
          call.run();
          return true;
        },
        _ -> {},
        _ -> done);
  }

  private <T> void run(
      Operation operation, Callable<T> call, Consumer<T> remember, Function<T, Event> done) {
    context.pipeToSelf(
        lane.submit(call),
        (result, failure) ->
            failure == null ? new Did(() -> remember.accept(result), done.apply(result))
                : new Happened(failed(operation, failure)));
  }

  private static Event failed(Operation operation, Throwable failure) {
    return switch (BlockingLane.cause(failure)) {
      case RefusedException refused -> new SourceTransition.CaptureRefused(refused.findings());
      case PageLinkException broken when operation == Operation.CAPTURE ->
          new SourceTransition.OperationFailed(Operation.CONNECT, broken.getMessage());
      case CheckpointException known -> new SourceTransition.OperationFailed(operation, BlockingLane.sentence(known));
      case Throwable other ->
          new SourceTransition.OperationFailed(operation, other.getClass().getSimpleName() + ": " + BlockingLane.sentence(other));
    };
  }

  // ── the peer ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private void sendOffer() {
    send(
        new PeerMessage.Offer(
            self(),
            migration(),
            ProtocolVersion.CURRENT,
            setup.plan().container(),
            entry.epoch() + 1,
            entry.spec()
                .orElseThrow(() ->
                    new IllegalStateException("The ledger has no command for container " + entry.container() + ".")),
            footprint));
  }

  private Behavior<Message> onPeer(PeerMessage message) {
    if (!message.from().equals(setup.plan().destination())) {
      return Behaviors.same();
    }
    var heard = on(new SourceTransition.PeerHeard());
    return switch (message) {
      case PeerMessage.Accepted accepted -> {
        figures.warned(accepted.warnings());
        hauls = accepted.hauls();
        yield on(new SourceTransition.Accepted(new Terms(accepted.epoch(), accepted.endpoint(), accepted.ledgerId())));
      }
      case PeerMessage.Refused(var _, var _, var findings, var passing) -> on(new SourceTransition.Refused(findings, passing));
      case PeerMessage.Ready ready -> {
        figures.ready(ready);
        yield on(new SourceTransition.Ready(ready.digest()));
      }
      case PeerMessage.Activated activated -> {
        figures.activated(activated);
        yield on(new SourceTransition.Activated());
      }
      case PeerMessage.RoundApplied(var _, var _, var count) -> on(new SourceTransition.RoundApplied(count));
      case PeerMessage.Failed(var _, var _, var reason) -> on(new SourceTransition.PeerFailed(reason));
      case PeerMessage.Answer(var _, var _, var standing, var ledgerId) -> on(new SourceTransition.Answered(standing, ledgerId));
      case PeerMessage.Query _ -> {
        answer();
        yield heard;
      }
      case PeerMessage.Working _, PeerMessage.ToDestination _, PeerMessage.Owns _, PeerMessage.Hello _, PeerMessage.Holdings _,
          PeerMessage.HoldingsVersion _,
          PeerMessage.HoldingsWanted _ ->
          heard;
    };
  }

  /** A destination that holds a copy asks. */
  private void answer() {
    var standing =
        switch (phase) {
          case SourceTransition.Activating _, SourceTransition.Destroying _, SourceTransition.Forgetting _ -> Standing.RELEASED;
          case SourceTransition.RollingBack _ -> Standing.ROLLED_BACK;
          case SourceTransition.Ended _, SourceTransition.Inspecting _, SourceTransition.Offering _, SourceTransition.Pausing _,
              SourceTransition.Connecting _, SourceTransition.PreCopying _, SourceTransition.Freezing _,
                  SourceTransition.SendingLast _,
              SourceTransition.AwaitingReady _, SourceTransition.Releasing _, SourceTransition.Unsaying _,
                  SourceTransition.TakingBack _ ->
              Standing.UNDECIDED;
        };
    send(new PeerMessage.Answer(self(), migration(), standing, ""));
  }

  private void send(PeerMessage message) {
    setup.links().send(setup.plan().destination(), message);
  }

  // ── the ledger ───────────────────────────────────────────────────────────────────────────────────────────────────

  private LedgerEntry released(Terms terms, String digest) {
    return entry.released(terms.epoch(), setup.plan().destination(), migration(), terms.ledgerId(), digest);
  }

  private void write(LedgerEntry wanted) {
    setup.ledger().tell(new LedgerActor.Append(wanted, ledgerReplies));
  }

  private Behavior<Message> onLedger(LedgerActor.Reply reply) {
    return switch (reply) {
      case LedgerActor.Written(var written, var _) -> {
        entry = written;
        yield switch (written.status()) {
          case RELEASED -> on(new SourceTransition.ReleasedWritten());
          case OWNED -> on(new SourceTransition.OwnedWritten());
          case GONE -> on(new SourceTransition.GoneWritten());
          case ARRIVING, HELD -> throw new IllegalStateException("A source does not write " + written.status() + ".");
        };
      }
      case LedgerActor.NotWritten(var _, var reason, var certain) -> on(new SourceTransition.LedgerFailed(reason, certain));
      case LedgerActor.Synced _ -> Behaviors.same();
    };
  }

  // ── the user ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private Behavior<Message> onCancel(Cancel cancel) {
    var step = transition.transition(phase, new SourceTransition.CancelRequested(cancel.reason()));
    if (step.phase() instanceof SourceTransition.RollingBack || step.phase() instanceof SourceTransition.Ended) {
      cancel.replyTo().ifPresent(cancelling::add); // answered when the container runs on
    } else {
      cancel.replyTo().ifPresent(this::tooLate);
    }
    return perform(step);
  }

  private void tooLate(ActorRef<NodeCommand.CancelReply> replyTo) {
    setup.node()
        .tell(
            new CancelAnswered(
                replyTo,
                new NodeCommand.Rejected(
                    NodeCommand.Problem.NOTHING_TO_CANCEL,
                    "The move of container %s to node %s has passed its commit (phase %s) and cannot be called off any more."
                        .formatted(setup.plan().container(), setup.plan().destination(), phase.title()))));
  }

  private Behavior<Message> onConfirmOff(ConfirmOff confirm) {
    if (!(phase instanceof SourceTransition.Activating)) {
      confirm.replyTo().ifPresent(replyTo -> notInDoubt(replyTo, "is in phase " + phase.title()));
      return Behaviors.same();
    }
    confirm.replyTo().ifPresent(resolving::add);
    return on(new SourceTransition.PeerConfirmedOff(confirm.reason()));
  }

  private void notInDoubt(ActorRef<NodeCommand.ResolveReply> replyTo, String how) {
    setup.node()
        .tell(
            new ResolveAnswered(
                replyTo,
                new NodeCommand.Rejected(
                    NodeCommand.Problem.NOT_IN_DOUBT,
                    "Container %s is not in doubt: its move to node %s %s.".formatted(
                        setup.plan().container(), setup.plan().destination(), how))));
  }

  /** After the guardian has heard of the end. */
  private void answerUsers(Result result) {
    for (var replyTo : cancelling) {
      if (result == Result.ROLLED_BACK || result == Result.REFUSED) {
        setup.node().tell(new CancelAnswered(replyTo, new NodeCommand.CancelAccepted(setup.plan().container())));
      } else {
        tooLate(replyTo);
      }
    }
    for (var replyTo : resolving) {
      if (entry.status() == LedgerEntry.Status.OWNED) {
        setup.node()
            .tell(
                new ResolveAnswered(
                    replyTo, new NodeCommand.Resolved(setup.plan().container(), self(), entry.epoch())));
      } else {
        notInDoubt(replyTo, "has ended " + result);
      }
    }
  }

  /** Files may take minutes, in which no round ends. */
  private Behavior<Message> showHaul() {
    var going = capture;
    if (phase instanceof SourceTransition.PreCopying && going != null) {
      going.haul().filter(haul -> haul.bytes() > 0 || haul.files() > 0).ifPresent(haul -> tellProgress(figures.hauling(haul)));
    } else if (!(phase instanceof SourceTransition.Connecting)) {
      timers.cancel(new ShowHaul());
    }
    return Behaviors.same();
  }

  private void tellProgress(String sentence) {
    setup.node().tell(new Progressed(figures.progress(phase.title(), sentence)));
  }

  private void finish(Result result, String reason) {
    var outcome = figures.outcome(result, reason);
    if (result == Result.COMPLETED) {
      context.getLog()
          .info("Migration {} of container {} to {} completed, pause {} ms", migration(), setup.plan().container(), setup.plan()
          .destination(), outcome.pauseMs());
      figures.learnedFixedNs().ifPresent(fixedNs -> setup.node().tell(new PauseLearned(figures.shape(), fixedNs)));
    } else {
      context.getLog().info("Migration {} of container {} ended {}: {}", migration(), setup.plan().container(), result, reason);
    }
    setup.node().tell(new Ended(migration(), outcome));
    answerUsers(result);
  }

  private String self() {
    return setup.plan().source();
  }

  private String migration() {
    return setup.plan().migration();
  }
}
