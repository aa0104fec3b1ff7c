package io.gantry.actors.migration;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.PostStop;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import akka.actor.typed.javadsl.TimerScheduler;
import io.gantry.actors.BlockingLane;
import io.gantry.actors.LedgerActor;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.PageLinks;
import io.gantry.actors.World;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.link.Links;
import io.gantry.actors.migration.DestinationTransition.Action;
import io.gantry.actors.migration.DestinationTransition.Event;
import io.gantry.actors.migration.DestinationTransition.Operation;
import io.gantry.actors.migration.DestinationTransition.Phase;
import io.gantry.actors.migration.DestinationTransition.Result;
import io.gantry.actors.migration.DestinationTransition.Step;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.checkpoint.Arrival;
import io.gantry.checkpoint.ContainerHandle;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.HaulWish;
import io.gantry.checkpoint.HostDifference;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * The destination of one move: performs what {@link DestinationTransition} decides and reports what came of it. One actor per
 * move; stops when the
 * move has ended here.
 *
 * <p>If it dies of a fault before HELD was written, what was built is discarded; from then on the freezer keeps it, and the
 * guardian finds it in the ledger.
 */
public final class IncomingMigration {
  public sealed interface Message {}

  /** Something of the source's. */
  public record FromPeer(PeerMessage message) implements Message {}

  /** The membership says that a node cannot be reached. */
  public record PeerLost(String reason) implements Message {}

  /** The source's host is off, somebody answers for that. Answered by {@link ResolveAnswered} when it can be answered. */
  public record ConfirmOff(String reason, Optional<ActorRef<NodeCommand.ResolveReply>> replyTo) implements Message {}

  private record Happened(Event event) implements Message {}

  /** An operation has ended; {@code remember} keeps its figures, on the actor's thread. */
  private record Did(Runnable remember, Event event) implements Message {}

  private record Applied(int count) implements Message {}

  private record StreamEnded(String failure, long atNs) implements Message {}

  private record LedgerReplied(LedgerActor.Reply reply) implements Message {}

  /** What the guardian is told. */
  public sealed interface Notice {}

  /** It is in another phase now. */
  public record Entered(String migration, Phase phase) implements Notice {}

  /** To be passed on; when the move has ended, after {@link Ended}. */
  public record ResolveAnswered(ActorRef<NodeCommand.ResolveReply> replyTo, NodeCommand.ResolveReply reply) implements Notice {}

  /** The last message. @param entry what the ledger says now */
  public record Ended(String migration, LedgerEntry entry, Result result, String reason) implements Notice {}

  /**
   * @param plan what does not change
   * @param entry what is to be, or was found, in the ledger
   * @param footprint what the source offers; not used after HELD
   * @param ledger this host's
   * @param ledgerId its identity
   * @param node this one's guardian
   */
  public record Setup(
      World world,
      Links links,
      DestinationTransition.Plan plan,
      LedgerEntry entry,
      Footprint footprint,
      ActorRef<LedgerActor.Message> ledger,
      String ledgerId,
      ActorRef<Notice> node) {}

  private final ActorContext<Message> context;
  private final TimerScheduler<Message> timers;
  private final Setup setup;
  private final DestinationRules transition;
  private final BlockingLane lane;
  private final Behavior<Message> running;
  private final ActorRef<LedgerActor.Reply> ledgerReplies;
  private final List<ActorRef<NodeCommand.ResolveReply>> resolving = new ArrayList<>();
  /** The source's digest, when it has said so. */
  private Optional<String> announced = Optional.empty();
  private LedgerEntry entry;
  private Phase phase;
  private Arrival.Report report;
  private List<Finding> warnings = List.of();
  private List<HaulWish> hauls = List.of();
  private long endNs;
  private long heldNs;
  private long ownedNs;
  private long resumeNs;
  // Both are set and used on the lane.
  private Arrival arrival;
  private PageLinks.Receiving stream;

  private IncomingMigration(ActorContext<Message> context, TimerScheduler<Message> timers, Setup setup) {
    this.context = context;
    this.timers = timers;
    this.setup = setup;
    this.entry = setup.entry();
    this.transition = setup.world().rules().destination().apply(setup.plan());
    this.lane = new BlockingLane(setup.world().blocking());
    this.ledgerReplies = context.messageAdapter(LedgerActor.Reply.class, LedgerReplied::new);
    this.running = running();
  }

  /** An offer that nothing known here speaks against. */
  public static Behavior<Message> begin(Setup setup) {
    return create(setup, DestinationRules::begin);
  }

  /** A copy that a restarted agent has found HELD. */
  public static Behavior<Message> recover(Setup setup) {
    return create(setup, transition -> transition.recover(setup.entry().digest()));
  }

  private static Behavior<Message> create(Setup setup, Function<DestinationRules, Step> first) {
    return Behaviors.setup(
        context ->
            Behaviors.withTimers(
                timers -> {
                  var migration = new IncomingMigration(context, timers, setup);
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
        .onMessage(
            Applied.class,
            message -> {
              send(new PeerMessage.RoundApplied(self(), migration(), message.count()));
              return Behaviors.same();
            })
        .onMessage(
            StreamEnded.class,
            message -> {
              endNs = message.atNs();
              return on(new DestinationTransition.StreamEnded(message.failure()));
            })
        .onMessage(LedgerReplied.class, message -> onLedger(message.reply()))
        .onMessage(FromPeer.class, message -> onPeer(message.message()))
        .onMessage(ConfirmOff.class, this::onConfirmOff)
        .onMessage(PeerLost.class, message -> on(new DestinationTransition.PeerLost(message.reason())))
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

  private Behavior<Message> onConfirmOff(ConfirmOff confirm) {
    var obstacle =
        phase instanceof DestinationTransition.Holding(var digest, var _)
            ? announced.filter(other -> !other.equals(digest))
                .map(other -> "is not what node %s has sent: the digest is %s here and %s there".formatted(
                    setup.plan().source(), digest, other))
            : Optional.of("is not complete and frozen; its arrival is in phase " + phase.title());
    if (obstacle.isPresent()) {
      confirm.replyTo().ifPresent(replyTo -> notHeld(replyTo, obstacle.get()));
      return Behaviors.same();
    }
    confirm.replyTo().ifPresent(resolving::add);
    return on(new DestinationTransition.PeerConfirmedOff(confirm.reason()));
  }

  private void notHeld(ActorRef<NodeCommand.ResolveReply> replyTo, String how) {
    setup.node()
        .tell(
            new ResolveAnswered(
                replyTo,
                new NodeCommand.Rejected(
                    NodeCommand.Problem.NOT_IN_DOUBT,
                    "The copy of container %s on node %s %s.".formatted(setup.plan().container(), self(), how))));
  }

  /** After the guardian has heard of the end. */
  private void answerUsers(DestinationTransition.Result result) {
    for (var replyTo : resolving) {
      if (result == DestinationTransition.Result.RUNNING) {
        setup.node()
            .tell(
                new ResolveAnswered(
                    replyTo, new NodeCommand.Resolved(setup.plan().container(), self(), entry.epoch())));
      } else {
        notHeld(replyTo, "was removed");
      }
    }
  }

  private Behavior<Message> perform(Step step) {
    var changed = phase == null || phase.getClass() != step.phase().getClass();
    if (changed) {
      context.getLog()
          .info("Migration {} of container {}, arriving: {}", migration(), setup.plan().container(), step.phase().title());
    }
    phase = step.phase();
    if (changed) {
      setup.node().tell(new Entered(migration(), phase));
    }
    var next = running;
    for (var action : step.actions()) {
      perform(action);
      if (action instanceof Action.Finish) {
        next = Behaviors.stopped();
      }
    }
    return next;
  }

  private void perform(Action action) {
    switch (action) {
      case Action.Check() -> check();
      case Action.SendRefused(var findings, var passing) -> send(new PeerMessage.Refused(self(), migration(), findings, passing));
      case Action.WriteArriving() -> write(entry);
      case Action.Open() -> open();
      case Action.SendAccepted(var endpoint) ->
          send(new PeerMessage.Accepted(self(), migration(), setup.plan().epoch(), endpoint, setup.ledgerId(), warnings, hauls));
      case Action.SendWorking(var step) -> send(new PeerMessage.Working(self(), migration(), step));
      case Action.Recreate() ->
          run(
              Operation.RECREATE,
              () -> arrival.complete(),
              built -> report = built,
              built -> new DestinationTransition.Recreated(built.digest()));
      case Action.WriteHeld(var digest) -> write(entry.held(report.container(), digest));
      case Action.SendReady(var digest) ->
          send(
              new PeerMessage.Ready(
                  self(), migration(), digest, setup.ledgerId(), report == null ? 0 : report.recreateNs(), heldNs, endNs == 0
                      ? 0 : nowNs() - endNs));
      case Action.SendQuery() -> send(new PeerMessage.Query(self(), migration(), setup.plan().container(), setup.plan().epoch()));
      case Action.WriteOwned() -> write(entry.owned());
      case Action.Run() -> letRun();
      case Action.SendActivated() -> send(new PeerMessage.Activated(self(), migration(), ownedNs, resumeNs));
      case Action.SendFailed(var reason) -> send(new PeerMessage.Failed(self(), migration(), reason));
      case Action.CloseStream() -> {
        // The receiving end waits for a call of the arrival that is under way; discarding closes it first, on the lane.
      }
      case Action.Discard() -> discard();
      case Action.WriteGone() -> write(entry.gone());
      case Action.StartTimer(var timer, var after) ->
          timers.startSingleTimer(timer, new Happened(new DestinationTransition.TimerFired(timer)), after);
      case Action.StopTimer(var timer) -> timers.cancel(timer);
      case Action.Warn(var sentence) -> context.getLog().warn("Migration {}: {}", migration(), sentence);
      case Action.Finish(var result, var reason) -> {
        context.getLog()
            .info("Migration {} of container {} ended here {}{}", migration(), setup.plan().container(), result,
                reason.isEmpty() ? "" : ": " + reason);
        setup.node().tell(new Ended(migration(), entry, result, reason));
        answerUsers(result);
      }
    }
  }

  // ── the engine and the stream ────────────────────────────────────────────────────────────────────────────────────

  private record Looked(List<Finding> findings, List<Finding> warnings) {}

  private void check() {
    run(
        Operation.CHECK,
        () ->
            new Looked(
                setup.world().engine().preflight(setup.plan().container(), setup.footprint()),
                HostDifference.findings(setup.world().engine().compare(setup.footprint().identity()), HostDifference.Verdict.WARNS)),
        looked -> warnings = looked.warnings(),
        looked -> new DestinationTransition.Checked(looked.findings(), false));
  }

  private record Opened(PageLinks.Endpoint endpoint, List<HaulWish> hauls) {}

  private void open() {
    var world = setup.world();
    var self = context.getSelf();
    run(
        Operation.OPEN,
        () -> {
          var directory = world.directories().create(setup.plan().container());
          arrival = world.engine().receive(setup.plan().container(), directory, setup.footprint());
          stream =
              world
                  .pageLinks()
                  .receive(migration(), new AppliedRounds(arrival, count -> self.tell(new Applied(count))), failure -> self.tell(new StreamEnded(failure, world.nowNs().getAsLong())));
          return new Opened(stream.endpoint(), arrival.hauls());
        },
        opened -> hauls = opened.hauls(),
        opened -> new DestinationTransition.Opened(opened.endpoint()));
  }

  private void letRun() {
    var begin = nowNs();
    run(
        Operation.RUN,
        () -> {
          if (arrival != null) {
            arrival.activate();
          } else {
            setup.world().engine().thaw(handle());
          }
          return nowNs();
        },
        end -> resumeNs = end - begin,
        _ -> new DestinationTransition.Running());
  }

  private void discard() {
    run(
        Operation.DISCARD,
        () -> {
          closeStream();
          if (arrival != null) {
            arrival.discard();
            arrival.close();
            arrival = null;
          } else if (entry.handle().isPresent()) {
            setup.world().engine().destroy(handle());
          }
          setup.world().directories().remove(setup.plan().container());
          return true;
        },
        _ -> {},
        _ -> new DestinationTransition.Discarded());
  }

  /** On the lane. */
  private void closeStream() {
    if (stream != null) {
      stream.close();
      stream = null;
    }
  }

  /** After the end, or after a fault of this actor. A held copy stays held, anything less is discarded. */
  private void release() {
    lane.submit(
        () -> {
          closeStream();
          if (arrival != null) {
            arrival.close();
          }
          return true;
        });
  }

  private ContainerHandle handle() {
    return entry.handle()
        .orElseThrow(() -> new IllegalStateException("The ledger does not say where container " + entry.container() + " is."));
  }

  private <T> void run(Operation operation, Callable<T> call, Consumer<T> remember, Function<T, Event> done) {
    context.pipeToSelf(
        lane.submit(call),
        (result, failure) ->
            failure == null
                ? new Did(() -> remember.accept(result), done.apply(result))
                : new Happened(new DestinationTransition.OperationFailed(operation, BlockingLane.sentence(failure))));
  }

  // ── the peer and the ledger ──────────────────────────────────────────────────────────────────────────────────────

  private Behavior<Message> onPeer(PeerMessage message) {
    if (!message.from().equals(setup.plan().source())) {
      return Behaviors.same();
    }
    return switch (message) {
      case PeerMessage.Offer _ -> on(new DestinationTransition.OfferRepeated());
      case PeerMessage.LastSent(var _, var _, var digest) -> {
        announced = Optional.of(digest);
        yield on(new DestinationTransition.LastAnnounced(digest));
      }
      case PeerMessage.Activate(var _, var _, var _, var epoch, var digest) ->
          on(new DestinationTransition.ActivateAsked(epoch, digest));
      case PeerMessage.Discard(var _, var _, var reason) -> on(new DestinationTransition.DiscardAsked(reason));
      case PeerMessage.Answer(var _, var _, var standing, var _) -> on(new DestinationTransition.Answered(standing));
      case PeerMessage.RoundSent _, PeerMessage.ToSource _, PeerMessage.Owns _, PeerMessage.Hello _, PeerMessage.Holdings _,
          PeerMessage.HoldingsVersion _,
          PeerMessage.HoldingsWanted _ ->
          Behaviors.same();
    };
  }

  private void send(PeerMessage message) {
    setup.links().send(setup.plan().source(), message);
  }

  private void write(LedgerEntry wanted) {
    setup.ledger().tell(new LedgerActor.Append(wanted, ledgerReplies));
  }

  private Behavior<Message> onLedger(LedgerActor.Reply reply) {
    return switch (reply) {
      case LedgerActor.Written(var written, var elapsedNs) -> {
        entry = written;
        yield switch (written.status()) {
          case ARRIVING -> on(new DestinationTransition.ArrivingWritten());
          case HELD -> {
            heldNs = elapsedNs;
            yield on(new DestinationTransition.HeldWritten());
          }
          case OWNED -> {
            ownedNs = elapsedNs;
            yield on(new DestinationTransition.OwnedWritten());
          }
          case GONE -> on(new DestinationTransition.GoneWritten());
          case RELEASED -> throw new IllegalStateException("A destination does not write RELEASED.");
        };
      }
      case LedgerActor.NotWritten(var _, var reason, var certain) -> on(new DestinationTransition.LedgerFailed(reason, certain));
      case LedgerActor.Synced _ -> Behaviors.same();
    };
  }

  private long nowNs() {
    return setup.world().nowNs().getAsLong();
  }

  private String self() {
    return setup.plan().destination();
  }

  private String migration() {
    return setup.plan().migration();
  }
}
