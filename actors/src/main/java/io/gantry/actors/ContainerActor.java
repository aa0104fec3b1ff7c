package io.gantry.actors;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.AskPattern;
import akka.actor.typed.javadsl.Behaviors;
import akka.actor.typed.javadsl.TimerScheduler;
import io.gantry.actors.ContainerInfo.Status;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.protocol.CarriedSpec;
import io.gantry.checkpoint.ContainerHandle;
import io.gantry.checkpoint.ContainerSpec;
import io.gantry.checkpoint.NetworkSpec;
import io.gantry.checkpoint.OciSpec;
import io.gantry.checkpoint.ProcessFacts;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * One container of this host: its birth, whether it still lives, its statistics, and its end. Admits one thing at a time:
 * while it is in a move it is not
 * stopped and not moved again.
 *
 * <pre>
 *   Birth ──▶ Running ◀──▶ Moving ──▶ (stopped: it is another host's)
 *     │          │ ended by itself
 *     │          ▼
 *     │       Exited
 *     ▼          ▼
 *   (gone: could not be started, or stopped)
 * </pre>
 */
final class ContainerActor {
  sealed interface Message {}

  record Stop(ActorRef<NodeCommand.StopReply> replyTo) implements Message {}

  /** Asks whether a move may begin now; from the answer on, until {@link MoveEnded}, nothing else is admitted. */
  record AdmitMove(NodeCommand.MigrateContainer command) implements Message {}

  /** @param note for {@code ps}; empty when there is none */
  record MoveShown(Status status, String note) implements Message {}

  /** The move has ended, and the container is still this host's; when it is not, this actor is stopped. */
  record MoveEnded(LedgerEntry entry) implements Message {}

  /** Another host owns it at a later epoch; what is here goes. @param epoch of the other host */
  record GiveWay(long epoch, String reason) implements Message {}

  record Describe(ActorRef<NodeCommand.DescribeReply> replyTo) implements Message {}

  private record Look() implements Message {}

  private record Born(LedgerEntry wanted) implements Message {}

  private record LedgerReplied(LedgerActor.Reply reply) implements Message {}

  private record Looked(boolean alive, List<ProcessFacts> processes, Optional<Integer> exitStatus,
      long atNs) implements Message {}

  private record LookFailed(String reason) implements Message {}

  private record Destroyed(boolean wasBirth) implements Message {}

  private record Failed(String what, String reason) implements Message {}

  private record Described(ActorRef<NodeCommand.DescribeReply> replyTo, List<ProcessInfo> processes) implements Message {}

  /** What the guardian is told. */
  sealed interface Notice {}

  record Shown(ContainerInfo info) implements Notice {}

  /** The move may begin. */
  record MoveAdmitted(NodeCommand.MigrateContainer command, LedgerEntry entry) implements Notice {}

  /** The last message: this host has nothing of it any more. */
  record Gone(String container) implements Notice {}

  record Setup(World world, NodeSettings settings, String name, ActorRef<LedgerActor.Message> ledger, ActorRef<Notice> node) {}

  private static final Duration GIVE_WAY_AGAIN = Duration.ofSeconds(5);

  private final ActorContext<Message> context;
  private final TimerScheduler<Message> timers;
  private final Setup setup;
  private final BlockingLane lane;
  private final ActorRef<LedgerActor.Reply> ledgerReplies;
  private final Map<Integer, ActorRef<ProcessActor.Message>> processes = new HashMap<>();
  private final List<ActorRef<NodeCommand.StopReply>> stopping = new ArrayList<>();
  private Optional<ActorRef<NodeCommand.RunReply>> starting = Optional.empty();
  private LedgerEntry entry;
  private Status status = Status.RUNNING;
  private String note = "";
  private boolean isMoving;
  private boolean isLooking;
  private boolean isGivingWay;
  private Optional<GiveWay> givesWay = Optional.empty();
  private String birthFailure = "";

  private ContainerActor(ActorContext<Message> context, TimerScheduler<Message> timers, Setup setup, LedgerEntry entry) {
    this.context = context;
    this.timers = timers;
    this.setup = setup;
    this.entry = entry;
    this.lane = new BlockingLane(setup.world().blocking());
    this.ledgerReplies = context.messageAdapter(LedgerActor.Reply.class, LedgerReplied::new);
  }

  /**
   * A container to be born.
   * @param arriving what keeps its name and lets a restarted agent clean up if this one dies meanwhile
   */
  static Behavior<Message> bear(Setup setup, LedgerEntry arriving, ActorRef<NodeCommand.RunReply> replyTo) {
    return create(
        setup,
        arriving,
        actor -> {
          actor.starting = Optional.of(replyTo);
          actor.write(arriving);
        });
  }

  /** A container that is here and owned, whether it runs or has ended meanwhile. */
  static Behavior<Message> adopt(Setup setup, LedgerEntry owned) {
    return create(setup, owned, ContainerActor::begin);
  }

  /** A container in a move that a restarted agent has taken up. */
  static Behavior<Message> adoptMoving(Setup setup, LedgerEntry released) {
    return create(
        setup,
        released,
        actor -> {
          actor.isMoving = true;
          actor.status = Status.RELEASED;
          actor.show();
          actor.begin();
        });
  }

  private static Behavior<Message> create(Setup setup, LedgerEntry entry, Consumer<ContainerActor> first) {
    return Behaviors.setup(
        context ->
            Behaviors.withTimers(
                timers -> {
                  var actor = new ContainerActor(context, timers, setup, entry);
                  first.accept(actor);
                  return actor.behavior();
                }));
  }

  private Behavior<Message> behavior() {
    return Behaviors.receive(Message.class)
        .onMessage(Stop.class, this::onStop)
        .onMessage(AdmitMove.class, this::onAdmitMove)
        .onMessage(MoveShown.class, this::onMoveShown)
        .onMessage(MoveEnded.class, this::onMoveEnded)
        .onMessage(GiveWay.class, this::onGiveWay)
        .onMessage(Describe.class, this::onDescribe)
        .onMessage(Described.class, this::onDescribed)
        .onMessage(Look.class, _ -> look())
        .onMessage(Looked.class, this::onLooked)
        .onMessage(
            LookFailed.class,
            failed -> {
              context.getLog().warn("Container {} could not be looked at: {}", setup.name(), failed.reason());
              isLooking = false;
              return Behaviors.same();
            })
        .onMessage(Born.class, this::onBorn)
        .onMessage(LedgerReplied.class, message -> onLedger(message.reply()))
        .onMessage(Destroyed.class, this::onDestroyed)
        .onMessage(Failed.class, this::onFailed)
        .build();
  }

  // ── birth ────────────────────────────────────────────────────────────────────────────────────────────────────────

  private void bear(CarriedSpec spec) {
    var world = setup.world();
    var name = setup.name();
    run(
        "starting",
        () -> {
          var directory = world.directories().create(name);
          return world.engine()
              .create(new ContainerSpec(name, spec.command(), spec.environment(), Path.of(spec.workingDirectory()), directory, spec.oci(),
                  spec.network().isEmpty() ? Optional.empty() : Optional.of(NetworkSpec.parse(spec.network())),
                  spec.volumes().stream().map(Path::of).toList()));
        },
        handle -> new Born(LedgerEntry.born(name, entry.epoch(), handle, spec)));
  }

  private Behavior<Message> onBorn(Born born) {
    entry = born.wanted();
    write(born.wanted());
    return Behaviors.same();
  }

  private Behavior<Message> onLedger(LedgerActor.Reply reply) {
    return switch (reply) {
      case LedgerActor.Written(var written, var _) -> {
        entry = written;
        yield switch (written.status()) {
          case ARRIVING -> {
            bear(written.spec().orElseThrow());
            yield Behaviors.same();
          }
          case OWNED -> {
            begin();
            starting.ifPresent(replyTo -> replyTo.tell(new NodeCommand.Started(info())));
            starting = Optional.empty();
            yield Behaviors.same();
          }
          case GONE -> gone();
          case HELD, RELEASED -> throw new IllegalStateException("A container's actor does not write " + written.status() + ".");
        };
      }
      case LedgerActor.NotWritten(var wanted, var reason, var _) -> {
        context.getLog().error("Container {}: {}", setup.name(), reason);
        yield switch (wanted.status()) {
          case ARRIVING -> {
            reject(reason);
            setup.node().tell(new Gone(setup.name()));
            yield Behaviors.stopped();
          }
          case OWNED -> {
            birthFailure = reason;
            destroy(true);
            yield Behaviors.same();
          }
          // Nothing of it is left and the ledger still names it; the guardian sees to that.
          case GONE, HELD, RELEASED -> gone();
        };
      }
      case LedgerActor.Synced _ -> Behaviors.same();
    };
  }

  private void reject(String reason) {
    starting.ifPresent(
        replyTo ->
            replyTo.tell(
                new NodeCommand.Rejected(NodeCommand.Problem.FAILED, "Container " + setup.name() + " was not started: "
                    + reason)));
    starting = Optional.empty();
  }

  private Behavior<Message> gone() {
    stopping.forEach(replyTo -> replyTo.tell(new NodeCommand.Stopped(setup.name())));
    if (!birthFailure.isEmpty()) {
      reject(birthFailure);
    }
    setup.node().tell(new Gone(setup.name()));
    return Behaviors.stopped();
  }

  private Behavior<Message> onFailed(Failed failed) {
    if (starting.isPresent() && birthFailure.isEmpty()) {
      birthFailure = failed.reason();
      destroy(true);
      return Behaviors.same();
    }
    if (starting.isPresent()) {
      // Neither born nor cleaned up: the ledger still says ARRIVING, and the guardian tries again.
      context.getLog().error("Container {}: {}", setup.name(), failed.reason());
      return gone();
    }
    stopping.forEach(
        replyTo ->
            replyTo.tell(
                new NodeCommand.Rejected(
                    NodeCommand.Problem.FAILED, "While " + failed.what() + " container " + setup.name() + ": "
                        + failed.reason())));
    stopping.clear();
    if (isGivingWay) {
      context.getLog().error("Container {} could not be removed: {}; it is tried again", setup.name(), failed.reason());
      isGivingWay = false;
      givesWay.ifPresent(wish -> timers.startSingleTimer(wish, GIVE_WAY_AGAIN));
    }
    return Behaviors.same();
  }

  // ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  private void begin() {
    timers.startTimerWithFixedDelay(new Look(), setup.settings().watchInterval());
    show();
    look();
  }

  private Behavior<Message> look() {
    if (isLooking || isMoving || status == Status.EXITED || !stopping.isEmpty() || isGivingWay) {
      return Behaviors.same();
    }
    isLooking = true;
    var world = setup.world();
    var handle = handle();
    context.pipeToSelf(
        lane.submit(
            () -> {
              var alive = world.engine().isAlive(handle);
              if (alive) {
                return new Looked(true, world.engine().processes(handle), Optional.empty(), world.nowNs().getAsLong());
              }
              var exitStatus = world.engine().exitStatus(handle);
              return new Looked(false, List.of(), exitStatus, world.nowNs().getAsLong());
            }),
        (looked, failure) -> failure == null ? looked : new LookFailed(BlockingLane.sentence(failure)));
    return Behaviors.same();
  }

  private Behavior<Message> onLooked(Looked looked) {
    isLooking = false;
    if (isMoving || !stopping.isEmpty() || isGivingWay) {
      return Behaviors.same();
    }
    if (!looked.alive()) {
      status = Status.EXITED;
      note = looked.exitStatus().map(code -> "Its first process ended with exit status " + code + ".")
          .orElse("Its first process has ended.");
      context.getLog().info("Container {} has ended: {}", setup.name(), note);
      var handle = handle();
      var engine = setup.world().engine();
      // Removes processes that its first one has left behind, and cgroup and mounts; the console stays until the container is
      // stopped.
      lane.submit(
          () -> {
            engine.destroy(handle);
            return true;
          });
      timers.cancelAll();
      show();
    }
    var seen = new HashMap<Integer, ActorRef<ProcessActor.Message>>();
    for (var facts : looked.processes()) {
      var actor = processes.remove(facts.pid());
      if (actor == null) {
        actor = context.spawn(ProcessActor.create(facts, looked.atNs()), "process-" + facts.pid() + "-" + looked.atNs());
      } else {
        actor.tell(new ProcessActor.Seen(facts, looked.atNs()));
      }
      seen.put(facts.pid(), actor);
    }
    processes.values().forEach(context::stop);
    processes.clear();
    processes.putAll(seen);
    return Behaviors.same();
  }

  private Behavior<Message> onDescribe(Describe describe) {
    var answers =
        processes.values().stream()
            .map(
                actor ->
                    AskPattern.ask(
                            actor, ProcessActor.Describe::new, Duration.ofSeconds(1), context.getSystem().scheduler())
                        .toCompletableFuture())
            .toList();
    var all = CompletableFuture.allOf(answers.toArray(CompletableFuture[]::new));
    context.pipeToSelf(
        all.handle(
            (_, _) ->
                answers.stream()
                    .filter(answer -> !answer.isCompletedExceptionally())
                    .map(CompletableFuture::join)
                    .sorted(Comparator.comparingInt(ProcessInfo::pid))
                    .toList()),
        (infos, _) -> new Described(describe.replyTo(), infos));
    return Behaviors.same();
  }

  private Behavior<Message> onDescribed(Described described) {
    described.replyTo().tell(new NodeCommand.Description(info(), described.processes(), entry.spec().map(CarriedSpec::volumes).orElse(List.of())));
    return Behaviors.same();
  }

  // ── moves ────────────────────────────────────────────────────────────────────────────────────────────────────────

  private Behavior<Message> onAdmitMove(AdmitMove admit) {
    var problem = obstacle();
    if (problem.isPresent()) {
      admit.command().replyTo().tell(problem.get());
      return Behaviors.same();
    }
    isMoving = true;
    status = Status.MIGRATING;
    show();
    setup.node().tell(new MoveAdmitted(admit.command(), entry));
    return Behaviors.same();
  }

  private Optional<NodeCommand.Rejected> obstacle() {
    if (starting.isPresent()) {
      return Optional.of(
          new NodeCommand.Rejected(NodeCommand.Problem.BUSY, "Container " + setup.name() + " is just being started."));
    }
    if (isMoving) {
      return Optional.of(
          new NodeCommand.Rejected(
              NodeCommand.Problem.BUSY, "Container " + setup.name()
                  + " is in a move already; wait until it has ended, or cancel it."));
    }
    if (isGivingWay) {
      return Optional.of(
          new NodeCommand.Rejected(
              NodeCommand.Problem.BUSY, "Container " + setup.name() + " is just being removed here. " + note));
    }
    if (!stopping.isEmpty()) {
      return Optional.of(
          new NodeCommand.Rejected(NodeCommand.Problem.BUSY, "Container " + setup.name() + " is just being stopped."));
    }
    if (status == Status.EXITED) {
      return Optional.of(
          new NodeCommand.Rejected(NodeCommand.Problem.EXITED, "Container " + setup.name() + " has ended. " + note));
    }
    return Optional.empty();
  }

  private Behavior<Message> onMoveShown(MoveShown shown) {
    if (isMoving) {
      status = shown.status();
      note = shown.note();
      show();
    }
    return Behaviors.same();
  }

  private Behavior<Message> onMoveEnded(MoveEnded ended) {
    isMoving = false;
    entry = ended.entry();
    status = Status.RUNNING;
    note = "";
    show();
    return givesWay.isPresent() ? onGiveWay(givesWay.get()) : look();
  }

  /** It must not run in two places: what has the earlier epoch is removed, whatever it does. */
  private Behavior<Message> onGiveWay(GiveWay wish) {
    if (wish.epoch() <= entry.epoch() || isGivingWay || starting.isPresent() || !stopping.isEmpty()) {
      return Behaviors.same();
    }
    givesWay = Optional.of(wish);
    if (!isMoving) {
      context.getLog().error("Container {} is removed here: {}", setup.name(), wish.reason());
      isGivingWay = true;
      note = wish.reason();
      show();
      destroy(false);
    }
    return Behaviors.same();
  }

  // ── end ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  private Behavior<Message> onStop(Stop stop) {
    if (starting.isPresent() || isMoving || isGivingWay) {
      obstacle().ifPresent(stop.replyTo()::tell);
      return Behaviors.same();
    }
    stopping.add(stop.replyTo());
    if (stopping.size() == 1) {
      destroy(false);
    }
    return Behaviors.same();
  }

  private void destroy(boolean isBirth) {
    var world = setup.world();
    // One that was adopted ran before and is somebody else's when that fails.
    var stays = isBirth && entry.spec().flatMap(CarriedSpec::oci).filter(OciSpec::adopt).isPresent();
    var handle = entry.handle().filter(_ -> !stays);
    run(
        isBirth ? "cleaning up" : "stopping",
        () -> {
          handle.ifPresent(world.engine()::destroy);
          world.directories().remove(setup.name());
          return true;
        },
        _ -> new Destroyed(isBirth));
  }

  private Behavior<Message> onDestroyed(Destroyed destroyed) {
    context.getLog()
        .info("Container {} was {}", setup.name(), destroyed.wasBirth() ? "not started, nothing is left of it" : "stopped");
    write(entry.gone());
    return Behaviors.same();
  }

  // ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────

  private void write(LedgerEntry wanted) {
    setup.ledger().tell(new LedgerActor.Append(wanted, ledgerReplies));
  }

  private <T> void run(String what, Callable<T> call, Function<T, Message> done) {
    context.pipeToSelf(
        lane.submit(call), (result, failure) -> failure == null ? done.apply(result)
            : new Failed(what, BlockingLane.sentence(failure)));
  }

  private ContainerHandle handle() {
    return entry.handle()
        .orElseThrow(() -> new IllegalStateException("The ledger does not say where container " + setup.name() + " is."));
  }

  private void show() {
    setup.node().tell(new Shown(info()));
  }

  private ContainerInfo info() {
    return new ContainerInfo(
        setup.name(),
        setup.settings().name(),
        entry.epoch(),
        status,
        entry.spec().map(CarriedSpec::command).orElse(List.of()),
        status == Status.EXITED ? 0 : entry.handle().map(ContainerHandle::initPid).orElse(0),
        note);
  }
}
