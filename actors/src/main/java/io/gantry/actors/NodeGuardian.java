package io.gantry.actors;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.DispatcherSelector;
import akka.actor.typed.SupervisorStrategy;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import io.gantry.actors.ContainerInfo.Status;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.link.Inbound;
import io.gantry.actors.link.Links;
import io.gantry.actors.migration.DestinationTransition;
import io.gantry.actors.migration.IncomingMigration;
import io.gantry.actors.migration.OutgoingMigration;
import io.gantry.actors.migration.PauseModel;
import io.gantry.actors.migration.SourceTransition;
import io.gantry.actors.protocol.CarriedSpec;
import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.HostFacts;
import java.time.Duration;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * One host. Takes up what the ledger names, admits commands and offers, starts the actors of containers and moves, passes
 * messages to them, and answers for
 * moves that have no actor any more from the ledger. Survives the failure of any of them: the ledger says what is to be done
 * next.
 */
public final class NodeGuardian {
  public sealed interface Message {}

  private record In(Inbound inbound) implements Message {}

  /** An entry has become durable. */
  private record Wrote(LedgerEntry entry) implements Message {}

  private record OfContainer(ContainerActor.Notice notice) implements Message {}

  private record OfOutgoing(OutgoingMigration.Notice notice) implements Message {}

  private record OfIncoming(IncomingMigration.Notice notice) implements Message {}

  /** The ledger has answered to the guardian's own wish to forget a container. */
  private record LedgerReplied(LedgerActor.Reply reply) implements Message {}

  /** What {@link Recovery} has found; @param failure a sentence, or empty */
  private record Recovered(String container, Optional<Recovery.Next> next, String failure) implements Message {}

  /** Time to try again to write down that nothing of a container is here. */
  private record ForgetAgain(LedgerEntry gone) implements Message {}

  /** Time to try again what {@link Recovery} could not do. */
  private record RecoverAgain(String container) implements Message {}

  /** Where a container is, for a command that waits for it. @param attempt counts from 1 */
  record Located(NodeCommand command, boolean forwarded, int attempt, Optional<ContainerInfo> info) implements Message {}

  /** Time to look again for a container that was just being taken up. */
  record LocateAgain(NodeCommand command, String container, boolean forwarded, int attempt) implements Message {}

  /** A command of this node's user for which something had to be found out first. */
  record Continued(NodeCommand command) implements Message {}

  record Counted(ActorRef<NodeCommand.NodeList> replyTo, Map<String, Integer> containers) implements Message {}

  private record ContainerStopped(String container, ActorRef<ContainerActor.Message> actor) implements Message {}

  /** A move that waits for its turn has waited until its deadline. */
  private record WaitEnded(String migration) implements Message {}

  /** Time to look whether a host is to be fenced. */
  private record LookAtDoubts() implements Message {}

  private record FencingEnded(String migration, FencingCommand.Outcome outcome) implements Message {}

  private record OutgoingStopped(String migration) implements Message {}

  private record IncomingStopped(String migration) implements Message {}

  private record SubscriberStopped(ActorRef<MigrationProgress> subscriber) implements Message {}

  /** What the pause of a throwaway container has cost; see {@link GantryNodeSystem#learnPause}. */
  record Learn(PauseModel.Shape shape, long fixedNs) implements Message {}

  private static final Duration RECOVER_AGAIN = Duration.ofSeconds(5);
  private static final Duration RECOVER_SOON = Duration.ofSeconds(1);

  private final ActorContext<Message> context;
  private final NodeSettings settings;
  private final World world;
  private final Links links;
  private final ActorRef<LedgerActor.Message> ledger;
  private final ActorRef<LedgerActor.Reply> ledgerReplies;
  private final ActorRef<Registry.Message> registry;
  private final ActorRef<ContainerActor.Notice> containerNotices;
  private final ActorRef<OutgoingMigration.Notice> outgoingNotices;
  private final ActorRef<IncomingMigration.Notice> incomingNotices;
  private final String ledgerId;
  private final long incarnation;
  private final HostFacts facts;

  private final NodeTables tables;
  private final PeerDesk peerDesk;
  private final CommandDesk commandDesk;
  private final FencingDesk fencingDesk;
  /** Moves whose note is shown with the container. */
  private final Set<String> noted = new HashSet<>();
  private final Set<String> answered = new HashSet<>();
  private final Map<ActorRef<MigrationProgress>, Optional<String>> subscribers = new LinkedHashMap<>();
  private PauseModel pauses = PauseModel.INITIAL;
  private long moves;
  private long spawned;

  private NodeGuardian(ActorContext<Message> context, NodeSettings settings, World world, Consumer<ActorRef<NodeCommand>> ready) {
    this.context = context;
    this.settings = settings;
    this.world = world;
    this.ledgerId = world.ledger().id();
    this.incarnation = world.ledger().incarnation();
    this.facts = world.engine().hostFacts();
    this.tables = new NodeTables(world.ledger().state());
    var self = context.getSelf();
    // INVARIANT: from here on only the ledger's actor touches the ledger.
    this.ledger =
        context.spawn(
            LedgerActor.create(world.ledger(), world.ledgerCalls(), world.nowNs(), entry -> self.tell(new Wrote(entry))),
            "ledger",
            DispatcherSelector.fromConfig("gantry.ledger-dispatcher"));
    context.watch(ledger); // nothing goes on without it: its end is the guardian's
    this.ledgerReplies = context.messageAdapter(LedgerActor.Reply.class, LedgerReplied::new);
    this.containerNotices = context.messageAdapter(ContainerActor.Notice.class, OfContainer::new);
    this.outgoingNotices = context.messageAdapter(OutgoingMigration.Notice.class, OfOutgoing::new);
    this.incomingNotices = context.messageAdapter(IncomingMigration.Notice.class, OfIncoming::new);
    ActorRef<Inbound> inbound = context.messageAdapter(Inbound.class, In::new);
    this.links = world.links().connect(context, inbound);
    this.registry =
        context.spawn(
            Behaviors.supervise(Registry.create(links, settings.name(), incarnation)).onFailure(SupervisorStrategy.resume()),
                "registry");
    this.peerDesk =
        new PeerDesk(
            settings,
            tables,
            links,
            registry,
            ledgerId,
            facts.kernelRelease(),
            (arriving, footprint) -> startIncoming(IncomingMigration::begin, arriving, Optional.of(footprint)));
    this.commandDesk =
        new CommandDesk(settings, world, tables, links, registry, context, facts.kernelRelease(), this::bear,
            this::cancelWaiting, this::subscribe);
    this.fencingDesk =
        new FencingDesk(
            settings.fencing(), world, tables, (migration, outcome) -> self.tell(new FencingEnded(migration, outcome)), fences());
    if (settings.fencing().isOn()) {
      context.scheduleOnce(FencingDesk.LOOK, self, new LookAtDoubts());
    }
    tables.view.entries().forEach(entry -> recover(entry.container()));
    ready.accept(context.spawn(localCommands(inbound), "local-commands"));
  }

  /**
   * @param world the ledger in it is the guardian's from now on
   * @param ready is given the actor that takes commands, once, on the guardian's thread
   */
  public static Behavior<Message> create(NodeSettings settings, World world, Consumer<ActorRef<NodeCommand>> ready) {
    return Behaviors.setup(context -> new NodeGuardian(context, settings, world, ready).behavior());
  }

  private static Behavior<NodeCommand> localCommands(ActorRef<Inbound> inbound) {
    return Behaviors.receiveMessage(
        command -> {
          inbound.tell(new Inbound.Commanded(command, false));
          return Behaviors.same();
        });
  }

  private Behavior<Message> behavior() {
    return Behaviors.receiveMessage(
        message -> {
          switch (message) {
            case In(Inbound.Delivered(var delivered)) -> peerDesk.onMessage(delivered);
            case In(Inbound.PeersChanged(var now)) -> peerDesk.onPeers(now);
            case In(Inbound.Commanded(var command, var forwarded)) -> commandDesk.onCommand(command, forwarded);
            case Continued(var command) -> commandDesk.onCommand(command, false);
            case Wrote(var entry) -> tables.view.apply(entry);
            case OfContainer(var notice) -> onContainer(notice);
            case OfOutgoing(var notice) -> onOutgoing(notice);
            case OfIncoming(var notice) -> onIncoming(notice);
            case LedgerReplied(var reply) -> onLedger(reply);
            case Recovered recovered -> onRecovered(recovered);
            case RecoverAgain(var container) -> recover(container);
            case ForgetAgain(var gone) -> forget(gone);
            case Located(var command, var forwarded, var attempt, var info) -> commandDesk.onLocated(command, forwarded, attempt, info);
            case LocateAgain(var command, var container, var forwarded, var attempt) ->
                commandDesk.onLocateAgain(command, container, forwarded, attempt);
            case Counted(var replyTo, var counts) -> replyTo.tell(commandDesk.nodes(counts));
            case ContainerStopped(var container, var actor) -> {
              if (tables.containers.remove(container, actor)) {
                context.getLog().error("The actor of container {} has failed; the container is taken up anew", container);
                recover(container);
              }
            }
            case WaitEnded(var migration) -> onWaitEnded(migration);
            case LookAtDoubts() -> {
              fencingDesk.look();
              context.scheduleOnce(FencingDesk.LOOK, context.getSelf(), new LookAtDoubts());
            }
            case FencingEnded(var migration, var outcome) -> fencingDesk.onEnded(migration, outcome);
            case OutgoingStopped(var migration) -> onOutgoingStopped(migration);
            case IncomingStopped(var migration) -> onIncomingStopped(migration);
            case SubscriberStopped(var subscriber) -> subscribers.remove(subscriber);
            case Learn(var shape, var fixedNs) -> pauses = pauses.learn(shape, fixedNs);
          }
          return Behaviors.same();
        });
  }

  // ── what the ledger names ────────────────────────────────────────────────────────────────────────────────────────

  private void recover(String container) {
    var entry = tables.view.entry(container);
    if (entry.isEmpty() || entry.get().status() == LedgerEntry.Status.GONE) {
      tables.recovering.remove(container);
      return;
    }
    tables.recovering.add(container);
    var found = entry.get();
    context.pipeToSelf(
        new BlockingLane(world.blocking()).submit(() -> Recovery.look(world, found)),
        (next, failure) ->
            failure == null
                ? new Recovered(container, Optional.of(next), "")
                : new Recovered(container, Optional.empty(), BlockingLane.sentence(failure)));
  }

  private void onRecovered(Recovered recovered) {
    var entry = tables.view.entry(recovered.container()).orElseThrow();
    if (recovered.next().isEmpty()) {
      context.getLog()
          .error("Container {}, which the ledger has as {}, cannot be taken up: {}", entry.container(), entry.status(),
              recovered.failure());
      context.scheduleOnce(RECOVER_AGAIN, context.getSelf(), new RecoverAgain(entry.container()));
      return;
    }
    context.getLog().info("Container {} is in the ledger as {}: {}", entry.container(), entry.status(), recovered.next().get());
    tables.recovering.remove(entry.container());
    switch (recovered.next().get()) {
      case RUN -> adopt(entry);
      case FINISH_OUTGOING -> {
        tables.containers.put(entry.container(),
            spawnContainer(entry.container(), ContainerActor.adoptMoving(containerSetup(entry.container()), entry)));
        startOutgoing(OutgoingMigration::recover, entry.migration(), entry, entry.peer(), MigrateOptions.defaults(),
            Optional.empty());
      }
      case FINISH_INCOMING -> startIncoming(IncomingMigration::recover, entry, Optional.empty());
      case FORGET -> forget(entry.gone());
    }
  }

  /**
   * A container's actor has ended and could not write down that nothing is left; the name must not stay taken because of that.
   */
  private void forgetUnfinished(LedgerEntry entry) {
    switch (entry.status()) {
      case GONE -> {}
      case ARRIVING -> {
        tables.recovering.add(entry.container());
        context.scheduleOnce(RECOVER_SOON, context.getSelf(), new RecoverAgain(entry.container()));
      }
      case OWNED, HELD, RELEASED -> forget(entry.gone());
    }
  }

  private void forget(LedgerEntry gone) {
    tables.recovering.add(gone.container());
    ledger.tell(new LedgerActor.Append(gone, ledgerReplies));
  }

  private void onLedger(LedgerActor.Reply reply) {
    switch (reply) {
      case LedgerActor.Written(var entry, var _) -> tables.recovering.remove(entry.container());
      case LedgerActor.NotWritten(var entry, var reason, var _) -> {
        context.getLog().error("{}", reason);
        context.scheduleOnce(RECOVER_AGAIN, context.getSelf(), new ForgetAgain(entry));
      }
      case LedgerActor.Synced(var migration) -> onSynced(migration);
    }
  }

  private void adopt(LedgerEntry entry) {
    tables.containers.put(entry.container(),
        spawnContainer(entry.container(), ContainerActor.adopt(containerSetup(entry.container()), entry)));
    peerDesk.onAdopted(entry);
  }

  private void bear(LedgerEntry arriving, ActorRef<NodeCommand.RunReply> replyTo) {
    var container = arriving.container();
    tables.containers.put(container,
        spawnContainer(container, ContainerActor.bear(containerSetup(container), arriving, replyTo)));
  }

  private ContainerActor.Setup containerSetup(String container) {
    return new ContainerActor.Setup(world, settings, container, ledger, containerNotices);
  }

  private ActorRef<ContainerActor.Message> spawnContainer(String container, Behavior<ContainerActor.Message> behavior) {
    var actor = context.spawn(behavior, "container-" + container + "-" + ++spawned);
    context.watchWith(actor, new ContainerStopped(container, actor));
    return actor;
  }

  private void onContainer(ContainerActor.Notice notice) {
    switch (notice) {
      case ContainerActor.Shown(var info) -> show(info);
      case ContainerActor.Gone(var container) -> {
        tables.containers.remove(container);
        hide(container);
        tables.view.entry(container).ifPresent(this::forgetUnfinished);
      }
      case ContainerActor.MoveAdmitted(var command, var entry) -> {
        tables.waiting.add(new NodeTables.Waiting(nextMigrationId(), command, entry, world.nowNs().getAsLong()));
        startWaiting();
        tables.waiting.stream().filter(move -> move.command() == command).findFirst().ifPresent(this::showWaiting);
      }
    }
  }

  private void show(ContainerInfo info) {
    tables.shown.put(info.name(), info);
    registry.tell(new Registry.Show(info));
  }

  private void hide(String container) {
    tables.shown.remove(container);
    registry.tell(new Registry.Hide(container));
  }

  // ── moves out ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Never the same twice, whatever happens to this host's agent or disk. */
  private String nextMigrationId() {
    return migrationIdPrefix(settings.name(), ledgerId) + incarnation + "." + ++moves;
  }

  /** What the ids of all moves out of a host begin with. */
  static String migrationIdPrefix(String node, String ledgerId) {
    return node + "." + ledgerId.substring(0, Math.min(8, ledgerId.length())) + ".";
  }

  // ── moves that wait for their turn ───────────────────────────────────────────────────────────────────────────────

  /** As many as may. */
  private void startWaiting() {
    while (!tables.waiting.isEmpty() && tables.outgoing.size() < settings.outgoingMax()) {
      var move = tables.waiting.removeFirst();
      var waited = Duration.ofNanos(world.nowNs().getAsLong() - move.sinceNs());
      var left = move.command().options().deadline().minusMillis(waited.toMillis());
      if (left.isPositive()) {
        startOutgoing(OutgoingMigration::begin, move.migration(), move.entry(), move.command().to(),
            move.command().options().withDeadline(left), Optional.of(move.command()));
      } else {
        endWaiting(move, Result.REFUSED, waitedTooLong(move));
      }
    }
  }

  private void showWaiting(NodeTables.Waiting move) {
    var sentence = "It waits: " + limit();
    context.getLog().info("Migration {} of container {}: {}", move.migration(), move.container(), sentence);
    noted.add(move.migration());
    tellContainer(move.container(), new ContainerActor.MoveShown(Status.MIGRATING, sentence));
    tellProgress(
        new MigrationProgress(
            move.container(), move.migration(), settings.name(), move.command().to(), "Waiting", 0, 0, 0, 0, 0, 0, 0, sentence),
        move.command().progress());
    context.scheduleOnce(move.command().options().deadline(), context.getSelf(), new WaitEnded(move.migration()));
  }

  private String limit() {
    return "node %s moves %d containers out already, as many as it may at a time.".formatted(settings.name(),
        settings.outgoingMax());
  }

  private String waitedTooLong(NodeTables.Waiting move) {
    return "The deadline of %d ms passed before the move could begin: %s".formatted(
        move.command().options().deadline().toMillis(), limit());
  }

  private void onWaitEnded(String migration) {
    tables.waiting.stream()
        .filter(move -> move.migration().equals(migration))
        .findFirst()
        .ifPresent(
            move -> {
              tables.waiting.remove(move);
              endWaiting(move, Result.REFUSED, waitedTooLong(move));
            });
  }

  private boolean cancelWaiting(NodeCommand.CancelMigration cancel) {
    var waiting = tables.waiting.stream().filter(move -> move.container().equals(cancel.name())).findFirst();
    waiting.ifPresent(
        move -> {
          tables.waiting.remove(move);
          endWaiting(move, Result.ROLLED_BACK, CommandDesk.CANCELLED);
          cancel.replyTo().tell(new NodeCommand.CancelAccepted(cancel.name()));
        });
    return waiting.isPresent();
  }

  private void endWaiting(NodeTables.Waiting move, Result result, String reason) {
    noted.remove(move.migration());
    context.getLog().info("Migration {} of container {} ended {}: {}", move.migration(), move.container(), result, reason);
    tellContainer(move.container(), new ContainerActor.MoveEnded(move.entry()));
    move.command()
        .replyTo()
        .tell(
            new NodeCommand.MigrationEnded(
                MigrationOutcome.withoutFigures(move.container(), settings.name(), move.command().to(), result, reason)));
  }

  private void startOutgoing(
      Function<OutgoingMigration.Setup, Behavior<OutgoingMigration.Message>> behavior,
      String migration,
      LedgerEntry entry,
      String destination,
      MigrateOptions options,
      Optional<NodeCommand.MigrateContainer> command) {
    var limits = SourceTransition.Limits.defaults().withFrozenSilence(settings.frozenSilenceMax());
    var plan = new SourceTransition.Plan(migration, entry.container(), settings.name(), destination, options, limits);
    var setup = new OutgoingMigration.Setup(world, links, plan, entry, pauses, ledger, outgoingNotices);
    var actor = context.spawn(behavior.apply(setup), "outgoing-" + migration + "-" + ++spawned);
    context.watchWith(actor, new OutgoingStopped(migration));
    tables.outgoing.put(migration, new NodeTables.Outgoing(actor, entry.container(), destination, command));
  }

  private void onOutgoing(OutgoingMigration.Notice notice) {
    switch (notice) {
      case OutgoingMigration.Progressed(var progress) -> onProgress(progress);
      case OutgoingMigration.PauseLearned(var shape, var fixedNs) -> pauses = pauses.learn(shape, fixedNs);
      case OutgoingMigration.InDoubt(var migration, var outcome) -> {
        answer(migration, outcome);
        tellContainer(outcome.container(), new ContainerActor.MoveShown(Status.IN_DOUBT, outcome.reason()));
      }
      case OutgoingMigration.CancelAnswered(var replyTo, var reply) -> replyTo.tell(reply);
      case OutgoingMigration.ResolveAnswered(var replyTo, var reply) -> replyTo.tell(reply);
      case OutgoingMigration.Ended(var migration, var outcome) -> {
        fencingDesk.settled(migration);
        noted.remove(migration);
        tables.view.entry(outcome.container()).filter(entry -> entry.migration().equals(migration)).ifPresent(peerDesk::claim);
        if (outcome.outcome() == Result.COMPLETED) {
          forgetContainer(outcome.container()); // before the user hears of it, who may want it back at once
        } else {
          tables.view.entry(outcome.container())
              .ifPresent(entry -> tellContainer(outcome.container(), new ContainerActor.MoveEnded(entry)));
        }
        answer(migration, outcome);
        answered.remove(migration);
        tables.outgoing.remove(migration);
        finishOutgoing(migration, outcome.container());
        startWaiting();
      }
    }
  }

  /**
   * A move out has ended with RELEASED in the ledger, because the original could not be removed, or that could not be written
   * down. It
   * is followed up until it is done, or the host would be busy with that container until its agent is started anew.
   */
  private void finishOutgoing(String migration, String container) {
    var entry = tables.view.entry(container);
    if (entry.isPresent() && entry.get().migration().equals(migration) && entry.get().status() == LedgerEntry.Status.RELEASED) {
      tables.recovering.add(container);
      context.scheduleOnce(RECOVER_SOON, context.getSelf(), new RecoverAgain(container));
    }
  }

  /** The same for a move in that has left nothing here and could not write it down. */
  private void finishIncoming(String migration, String container) {
    tables.view.entry(container)
        .filter(entry -> entry.migration().equals(migration))
        .filter(entry -> entry.status() == LedgerEntry.Status.ARRIVING || entry.status() == LedgerEntry.Status.HELD)
        .ifPresent(entry -> forget(entry.gone()));
  }

  /** It is another host's now. */
  private void forgetContainer(String container) {
    var actor = tables.containers.remove(container);
    if (actor != null) {
      context.unwatch(actor);
      context.stop(actor);
    }
    hide(container);
  }

  private void tellContainer(String container, ContainerActor.Message message) {
    var actor = tables.containers.get(container);
    if (actor != null) {
      actor.tell(message);
    }
  }

  private void answer(String migration, MigrationOutcome outcome) {
    var move = tables.outgoing.get(migration);
    if (move != null && move.command().isPresent() && answered.add(migration)) {
      move.command().get().replyTo().tell(new NodeCommand.MigrationEnded(outcome));
    }
  }

  private void subscribe(NodeCommand.SubscribeProgress subscribe) {
    if (subscribers.put(subscribe.subscriber(), subscribe.container()) == null) {
      context.watchWith(subscribe.subscriber(), new SubscriberStopped(subscribe.subscriber()));
    }
  }

  private void onProgress(MigrationProgress progress) {
    var move = tables.outgoing.get(progress.migration());
    tellProgress(
        progress, move == null ? Optional.empty() : move.command().flatMap(NodeCommand.MigrateContainer::progress));
    if (move == null) {
      return;
    }
    if (progress.phase().equals("Activating")) {
      fencingDesk.waits(progress.migration(), progress.container(), move.destination());
      noted.remove(progress.migration());
      tellContainer(progress.container(), new ContainerActor.MoveShown(Status.RELEASED, ""));
      return;
    }
    fencingDesk.settled(progress.migration());
    if (!progress.sentence().isEmpty()) {
      noted.add(progress.migration());
      tellContainer(progress.container(), new ContainerActor.MoveShown(Status.MIGRATING, progress.sentence()));
    } else if (!progress.phase().equals("Offering") && noted.remove(progress.migration())) {
      // The next offer may be refused for the same reason; anything later was not.
      tellContainer(progress.container(), new ContainerActor.MoveShown(Status.MIGRATING, ""));
    }
  }

  private void tellProgress(MigrationProgress progress, Optional<ActorRef<MigrationProgress>> asker) {
    asker.ifPresent(listener -> listener.tell(progress));
    subscribers.forEach(
        (subscriber, container) -> {
          if (container.isEmpty() || container.get().equals(progress.container())) {
            subscriber.tell(progress);
          }
        });
  }

  // ── hosts that are off ───────────────────────────────────────────────────────────────────────────────────────────

  private FencingDesk.Ends fences() {
    return new FencingDesk.Ends() {
      @Override
      public void confirm(String migration, String reason) {
        var out = tables.outgoing.get(migration);
        if (out != null) {
          out.actor().tell(new OutgoingMigration.ConfirmOff(reason, Optional.empty()));
        }
        var in = tables.incoming.get(migration);
        if (in != null) {
          in.actor().tell(new IncomingMigration.ConfirmOff(reason, Optional.empty()));
        }
      }

      @Override
      public void note(String migration, String sentence) {
        var out = tables.outgoing.get(migration);
        if (out != null) {
          tellContainer(out.container(), new ContainerActor.MoveShown(Status.IN_DOUBT, sentence));
        }
        var in = tables.incoming.get(migration);
        if (in != null) {
          showIncoming(in.container(), Status.HELD, sentence);
        }
      }
    };
  }

  private void showIncoming(String container, Status status, String sentence) {
    var now = tables.shown.get(container);
    if (now != null) {
      show(new ContainerInfo(container, now.node(), now.epoch(), status, now.command(), now.initPid(), sentence));
    }
  }

  /**
   * After {@link OutgoingMigration.Ended} the move is not known any more; else the actor has failed, and the ledger says how
   * far it came.
   */
  private void onOutgoingStopped(String migration) {
    var move = tables.outgoing.get(migration);
    if (move == null) {
      return;
    }
    context.getLog()
        .error("The actor of migration {} has failed; container {} is taken up anew from the ledger", migration,
            move.container());
    forgetContainer(move.container());
    tables.recovering.add(move.container());
    // Until the ledger has done whatever the actor had asked for, nobody is told how the move stands.
    ledger.tell(new LedgerActor.Sync(migration, ledgerReplies));
  }

  private void onIncomingStopped(String migration) {
    var move = tables.incoming.get(migration);
    if (move != null) {
      context.getLog().error("The actor of migration {}, arriving, has failed; it is taken up anew from the ledger", migration);
      hide(move.container());
      tables.recovering.add(move.container());
      ledger.tell(new LedgerActor.Sync(migration, ledgerReplies));
    }
  }

  private void onSynced(String migration) {
    if (tables.outgoing.containsKey(migration)) {
      answer(migration, failed(migration, tables.outgoing.get(migration)));
      answered.remove(migration);
    }
    var out = tables.outgoing.remove(migration);
    var in = tables.incoming.remove(migration);
    fencingDesk.settled(migration);
    startWaiting();
    var container = out != null ? out.container() : in == null ? "" : in.container();
    if (!container.isEmpty()) {
      // Not at once: what the failed actor had under way in the engine ends first.
      context.scheduleOnce(RECOVER_SOON, context.getSelf(), new RecoverAgain(container));
    }
  }

  /** What is known of a move whose actor has failed: what it has written down. */
  private MigrationOutcome failed(String migration, NodeTables.Outgoing move) {
    var isGivenAway =
        tables.view.entry(move.container())
            .filter(entry -> entry.migration().equals(migration))
            .filter(entry -> entry.status() == LedgerEntry.Status.RELEASED || entry.status() == LedgerEntry.Status.GONE)
            .isPresent();
    var reason =
        isGivenAway
            ? "The actor of the move has failed after the commit; node %s finishes the move as its ledger says."
            : "The actor of the move has failed before the commit; the container runs on here. The log of node %s says how.";
    return MigrationOutcome.withoutFigures(
        move.container(), settings.name(), move.destination(), isGivenAway ? Result.IN_DOUBT : Result.ROLLED_BACK,
        reason.formatted(settings.name()));
  }

  // ── moves in ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private void startIncoming(
      Function<IncomingMigration.Setup, Behavior<IncomingMigration.Message>> behavior, LedgerEntry entry,
          Optional<Footprint> footprint) {
    var offered = footprint.orElseGet(() -> new Footprint(0, 0, 0, 0, List.of(), List.of(), facts, List.of()));
    var plan =
        new DestinationTransition.Plan(
            entry.migration(), entry.container(), entry.epoch(), entry.peer(), settings.name(),
                DestinationTransition.Limits.forBytes(offered.residentBytes()));
    var setup = new IncomingMigration.Setup(world, links, plan, entry, offered, ledger, ledgerId, incomingNotices);
    var actor = context.spawn(behavior.apply(setup), "incoming-" + entry.migration() + "-" + ++spawned);
    context.watchWith(actor, new IncomingStopped(entry.migration()));
    tables.incoming.put(entry.migration(), new NodeTables.Incoming(actor, entry.container(), entry.peer()));
    var status = footprint.isPresent() ? Status.ARRIVING : Status.HELD;
    show(
        new ContainerInfo(
            entry.container(), settings.name(), entry.epoch(), status, entry.spec().map(CarriedSpec::command)
                .orElse(List.of()), 0, "From node " + entry.peer() + "."));
  }

  private void onIncoming(IncomingMigration.Notice notice) {
    switch (notice) {
      case IncomingMigration.Entered(var migration, var phase) -> onEntered(migration, phase);
      case IncomingMigration.ResolveAnswered(var replyTo, var reply) -> replyTo.tell(reply);
      case IncomingMigration.Ended(var migration, var entry, var result, var _) -> {
        tables.incoming.remove(migration);
        fencingDesk.settled(migration);
        switch (result) {
          case RUNNING -> adopt(entry);
          case REFUSED, DISCARDED -> {
            hide(entry.container());
            finishIncoming(migration, entry.container());
          }
        }
      }
    }
  }

  private void onEntered(String migration, DestinationTransition.Phase phase) {
    var move = tables.incoming.get(migration);
    if (move == null) {
      return;
    }
    if (phase instanceof DestinationTransition.Holding) {
      fencingDesk.waits(migration, move.container(), move.source());
      showIncoming(
          move.container(), Status.HELD, "A complete copy, frozen; it waits for the word of node " + move.source() + ".");
    } else {
      fencingDesk.settled(migration);
    }
  }
}
