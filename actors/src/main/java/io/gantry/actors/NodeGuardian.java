package io.gantry.actors;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.DispatcherSelector;
import akka.actor.typed.SupervisorStrategy;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import io.gantry.actors.ContainerInfo.Status;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.NodeCommand.Problem;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.ledger.LedgerState;
import io.gantry.actors.link.Inbound;
import io.gantry.actors.link.Links;
import io.gantry.actors.link.Peer;
import io.gantry.actors.migration.DestinationTransition;
import io.gantry.actors.migration.IncomingMigration;
import io.gantry.actors.migration.OutgoingMigration;
import io.gantry.actors.migration.PauseModel;
import io.gantry.actors.migration.SourceTransition;
import io.gantry.actors.protocol.CarriedSpec;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.actors.protocol.ProtocolVersion;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.HostFacts;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * One host. Takes up what the ledger names, admits commands and offers, starts the actors of containers and moves, passes messages to them, and answers for
 * moves that have no actor any more from the ledger. Survives the failure of any of them: the ledger says what is to be done next.
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

  /** Time to try again what {@link Recovery} could not do. */
  private record RecoverAgain(String container) implements Message {}

  /** Where a container is, for a command that waits for it. */
  private record Located(NodeCommand command, boolean forwarded, Optional<ContainerInfo> info) implements Message {}

  private record Counted(ActorRef<NodeCommand.NodeList> replyTo, Map<String, Integer> containers) implements Message {}

  private record ContainerStopped(String container, ActorRef<ContainerActor.Message> actor) implements Message {}

  private record OutgoingStopped(String migration) implements Message {}

  private record IncomingStopped(String migration) implements Message {}

  private record SubscriberStopped(ActorRef<MigrationProgress> subscriber) implements Message {}

  /** What the pause of a throwaway container has cost; see {@link GantryNodeSystem#learnPause}. */
  record Learn(PauseModel.Shape shape, long fixedNs) implements Message {}

  private record Outgoing(
      ActorRef<OutgoingMigration.Message> actor, String container, String destination, Optional<NodeCommand.MigrateContainer> command) {}

  private record Incoming(ActorRef<IncomingMigration.Message> actor, String container, String source) {}

  private static final Duration RECOVER_AGAIN = Duration.ofSeconds(5);
  private static final Duration RECOVER_SOON = Duration.ofSeconds(1);
  private static final int CONSOLE_BYTES_MAX = 65_536;

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

  /** What the ledger says; never older than what any other actor acts on. */
  private final LedgerState view;

  private final Map<String, ActorRef<ContainerActor.Message>> containers = new HashMap<>();
  private final Map<String, ContainerInfo> shown = new TreeMap<>();
  private final Map<String, Outgoing> outgoing = new TreeMap<>();
  private final Map<String, Incoming> incoming = new TreeMap<>();
  private final Set<String> recovering = new HashSet<>();
  private final Set<String> answered = new HashSet<>();
  private final Map<ActorRef<MigrationProgress>, Optional<String>> subscribers = new HashMap<>();
  private final Map<String, PeerMessage.Hello> hellos = new HashMap<>();
  private Map<String, Peer> peers = new TreeMap<>();
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
    this.view = world.ledger().state();
    var self = context.getSelf();
    // INVARIANT: from here on only the ledger's actor touches the ledger.
    this.ledger =
        context.spawn(
            LedgerActor.create(world.ledger(), world.nowNs(), entry -> self.tell(new Wrote(entry))),
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
            Behaviors.supervise(Registry.create(links, settings.name(), incarnation)).onFailure(SupervisorStrategy.resume()), "registry");
    view.entries().forEach(entry -> recover(entry.container()));
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
            case In(Inbound.Delivered(var delivered)) -> onPeerMessage(delivered);
            case In(Inbound.PeersChanged(var now)) -> onPeers(now);
            case In(Inbound.Commanded(var command, var forwarded)) -> onCommand(command, forwarded);
            case Wrote(var entry) -> view.apply(entry);
            case OfContainer(var notice) -> onContainer(notice);
            case OfOutgoing(var notice) -> onOutgoing(notice);
            case OfIncoming(var notice) -> onIncoming(notice);
            case LedgerReplied(var reply) -> onLedger(reply);
            case Recovered recovered -> onRecovered(recovered);
            case RecoverAgain(var container) -> recover(container);
            case Located(var command, var forwarded, var info) -> onLocated(command, forwarded, info);
            case Counted(var replyTo, var counts) -> replyTo.tell(nodes(counts));
            case ContainerStopped(var container, var actor) -> {
              if (containers.remove(container, actor)) {
                context.getLog().error("The actor of container {} has failed; the container is taken up anew", container);
                recover(container);
              }
            }
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
    var entry = view.entry(container);
    if (entry.isEmpty() || entry.get().status() == LedgerEntry.Status.GONE) {
      recovering.remove(container);
      return;
    }
    recovering.add(container);
    var found = entry.get();
    context.pipeToSelf(
        new BlockingLane(world.blocking()).submit(() -> Recovery.look(world, found)),
        (next, failure) ->
            failure == null
                ? new Recovered(container, Optional.of(next), "")
                : new Recovered(container, Optional.empty(), BlockingLane.sentence(failure)));
  }

  private void onRecovered(Recovered recovered) {
    var entry = view.entry(recovered.container()).orElseThrow();
    if (recovered.next().isEmpty()) {
      context.getLog().error("Container {}, which the ledger has as {}, cannot be taken up: {}", entry.container(), entry.status(), recovered.failure());
      context.scheduleOnce(RECOVER_AGAIN, context.getSelf(), new RecoverAgain(entry.container()));
      return;
    }
    context.getLog().info("Container {} is in the ledger as {}: {}", entry.container(), entry.status(), recovered.next().get());
    recovering.remove(entry.container());
    switch (recovered.next().get()) {
      case RUN -> adopt(entry);
      case FINISH_OUTGOING -> {
        containers.put(entry.container(), spawnContainer(entry.container(), ContainerActor.adoptMoving(containerSetup(entry.container()), entry)));
        startOutgoing(OutgoingMigration::recover, entry.migration(), entry, entry.peer(), MigrateOptions.defaults(), Optional.empty());
      }
      case FINISH_INCOMING -> startIncoming(IncomingMigration::recover, entry, Optional.empty());
      case FORGET -> {
        recovering.add(entry.container());
        ledger.tell(new LedgerActor.Append(entry.gone(), ledgerReplies));
      }
    }
  }

  private void onLedger(LedgerActor.Reply reply) {
    switch (reply) {
      case LedgerActor.Written(var entry, var _) -> recovering.remove(entry.container());
      case LedgerActor.NotWritten(var entry, var reason, var _) -> {
        context.getLog().error("{}", reason);
        context.scheduleOnce(RECOVER_AGAIN, context.getSelf(), new RecoverAgain(entry.container()));
      }
      case LedgerActor.Synced(var migration) -> onSynced(migration);
    }
  }

  private void adopt(LedgerEntry entry) {
    containers.put(entry.container(), spawnContainer(entry.container(), ContainerActor.adopt(containerSetup(entry.container()), entry)));
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
        containers.remove(container);
        hide(container);
      }
      case ContainerActor.MoveAdmitted(var command, var entry) ->
          startOutgoing(OutgoingMigration::begin, nextMigrationId(), entry, command.to(), command.options(), Optional.of(command));
    }
  }

  private void show(ContainerInfo info) {
    shown.put(info.name(), info);
    registry.tell(new Registry.Show(info));
  }

  private void hide(String container) {
    shown.remove(container);
    registry.tell(new Registry.Hide(container));
  }

  // ── moves out ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Never the same twice, whatever happens to this host's agent or disk. */
  private String nextMigrationId() {
    return settings.name() + "." + ledgerId.substring(0, Math.min(8, ledgerId.length())) + "." + incarnation + "." + ++moves;
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
    outgoing.put(migration, new Outgoing(actor, entry.container(), destination, command));
  }

  private void onOutgoing(OutgoingMigration.Notice notice) {
    switch (notice) {
      case OutgoingMigration.Progressed(var progress) -> onProgress(progress);
      case OutgoingMigration.PauseLearned(var shape, var fixedNs) -> pauses = pauses.learn(shape, fixedNs);
      case OutgoingMigration.InDoubt(var migration, var outcome) -> {
        answer(migration, outcome);
        tellContainer(outcome.container(), new ContainerActor.MoveShown(Status.IN_DOUBT, outcome.reason()));
      }
      case OutgoingMigration.Ended(var migration, var outcome) -> {
        if (outcome.outcome() == Result.COMPLETED) {
          forgetContainer(outcome.container()); // before the user hears of it, who may want it back at once
        } else {
          view.entry(outcome.container()).ifPresent(entry -> tellContainer(outcome.container(), new ContainerActor.MoveEnded(entry)));
        }
        answer(migration, outcome);
        answered.remove(migration);
        outgoing.remove(migration);
      }
    }
  }

  /** It is another host's now. */
  private void forgetContainer(String container) {
    var actor = containers.remove(container);
    if (actor != null) {
      context.unwatch(actor);
      context.stop(actor);
    }
    hide(container);
  }

  private void tellContainer(String container, ContainerActor.Message message) {
    var actor = containers.get(container);
    if (actor != null) {
      actor.tell(message);
    }
  }

  private void answer(String migration, MigrationOutcome outcome) {
    var move = outgoing.get(migration);
    if (move != null && move.command().isPresent() && answered.add(migration)) {
      move.command().get().replyTo().tell(new NodeCommand.MigrationEnded(outcome));
    }
  }

  private void onProgress(MigrationProgress progress) {
    var move = outgoing.get(progress.migration());
    if (move != null) {
      move.command().flatMap(NodeCommand.MigrateContainer::progress).ifPresent(listener -> listener.tell(progress));
    }
    subscribers.forEach(
        (subscriber, container) -> {
          if (container.isEmpty() || container.get().equals(progress.container())) {
            subscriber.tell(progress);
          }
        });
    if (progress.phase().equals("Activating")) {
      tellContainer(progress.container(), new ContainerActor.MoveShown(Status.RELEASED, ""));
    }
  }

  /** After {@link OutgoingMigration.Ended} the move is not known any more; else the actor has failed, and the ledger says how far it came. */
  private void onOutgoingStopped(String migration) {
    var move = outgoing.get(migration);
    if (move == null) {
      return;
    }
    context.getLog().error("The actor of migration {} has failed; container {} is taken up anew from the ledger", migration, move.container());
    forgetContainer(move.container());
    recovering.add(move.container());
    // Until the ledger has done whatever the actor had asked for, nobody is told how the move stands.
    ledger.tell(new LedgerActor.Sync(migration, ledgerReplies));
  }

  private void onIncomingStopped(String migration) {
    var move = incoming.get(migration);
    if (move != null) {
      context.getLog().error("The actor of migration {}, arriving, has failed; it is taken up anew from the ledger", migration);
      hide(move.container());
      recovering.add(move.container());
      ledger.tell(new LedgerActor.Sync(migration, ledgerReplies));
    }
  }

  private void onSynced(String migration) {
    var out = outgoing.remove(migration);
    var in = incoming.remove(migration);
    var container = out != null ? out.container() : in == null ? "" : in.container();
    if (!container.isEmpty()) {
      // Not at once: what the failed actor had under way in the engine ends first.
      context.scheduleOnce(RECOVER_SOON, context.getSelf(), new RecoverAgain(container));
    }
  }

  // ── moves in ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private void onOffer(PeerMessage.Offer offer) {
    var findings = new ArrayList<Finding>();
    var passing = false;
    if (!offer.version().isCompatibleWith(ProtocolVersion.CURRENT)) {
      findings.add(finding("protocol", ProtocolVersion.CURRENT.refusal(offer.from(), offer.version())));
    }
    if (!Names.isValid(offer.container())) {
      findings.add(finding("name", "The container name '" + offer.container() + "' " + Names.RULE));
    }
    var entry = view.entry(offer.container());
    var isArriving = incoming.values().stream().anyMatch(move -> move.container().equals(offer.container()));
    if (containers.containsKey(offer.container())) {
      findings.add(finding("name", "Node %s has a container %s of its own; stop it or choose another destination.".formatted(settings.name(), offer.container())));
    } else if (isArriving || recovering.contains(offer.container()) || entry.filter(known -> known.status() != LedgerEntry.Status.GONE).isPresent()) {
      passing = findings.isEmpty();
      findings.add(finding("name", "Node %s is still busy with an earlier move of container %s.".formatted(settings.name(), offer.container())));
    }
    if (incoming.size() >= settings.incomingMax()) {
      passing = findings.isEmpty();
      findings.add(finding("moves", "Node %s takes in %d containers already, as many as it may at a time.".formatted(settings.name(), incoming.size())));
    }
    if (!findings.isEmpty()) {
      context.getLog().info("The offer {} of container {} is refused: {}", offer.migration(), offer.container(), findings);
      links.send(offer.from(), new PeerMessage.Refused(settings.name(), offer.migration(), findings, passing));
      return;
    }
    var epoch = Math.max(offer.epoch(), entry.map(known -> known.epoch() + 1).orElse(1L));
    startIncoming(
        IncomingMigration::begin,
        LedgerEntry.arriving(offer.container(), epoch, offer.from(), offer.migration(), offer.spec()),
        Optional.of(offer.footprint()));
  }

  private static Finding finding(String kind, String sentence) {
    return new Finding(0, -1, kind, sentence);
  }

  private void startIncoming(
      Function<IncomingMigration.Setup, Behavior<IncomingMigration.Message>> behavior, LedgerEntry entry, Optional<Footprint> footprint) {
    var plan =
        new DestinationTransition.Plan(
            entry.migration(), entry.container(), entry.epoch(), entry.peer(), settings.name(), DestinationTransition.Limits.defaults());
    var offered = footprint.orElseGet(() -> new Footprint(0, 0, 0, 0, List.of(), List.of(), facts, List.of()));
    var setup = new IncomingMigration.Setup(world, links, plan, entry, offered, ledger, ledgerId, incomingNotices);
    var actor = context.spawn(behavior.apply(setup), "incoming-" + entry.migration() + "-" + ++spawned);
    context.watchWith(actor, new IncomingStopped(entry.migration()));
    incoming.put(entry.migration(), new Incoming(actor, entry.container(), entry.peer()));
    var status = footprint.isPresent() ? Status.ARRIVING : Status.HELD;
    show(
        new ContainerInfo(
            entry.container(), settings.name(), entry.epoch(), status, entry.spec().map(CarriedSpec::command).orElse(List.of()), 0, "From node " + entry.peer() + "."));
  }

  private void onIncoming(IncomingMigration.Notice notice) {
    switch (notice) {
      case IncomingMigration.Ended(var migration, var entry, var result, var _) -> {
        incoming.remove(migration);
        switch (result) {
          case RUNNING -> adopt(entry);
          case REFUSED, DISCARDED -> hide(entry.container());
        }
      }
    }
  }

  // ── peers ────────────────────────────────────────────────────────────────────────────────────────────────────────

  private void onPeers(List<Peer> now) {
    var before = peers;
    peers = new TreeMap<>();
    now.forEach(peer -> peers.put(peer.name(), peer));
    registry.tell(new Registry.PeersChanged(now));
    for (var peer : now) {
      if (peer.reachable() && !isSameAsBefore(before, peer)) {
        context.getLog().info("Node {} at {} can be reached", peer.name(), peer.address());
        sendHello(peer.name());
      }
    }
    for (var name : before.keySet()) {
      if (isReachable(before, name) && (!isReachable(peers, name) || !isSameAsBefore(before, peers.get(name)))) {
        var restarted = isReachable(peers, name);
        var reason =
            restarted
                ? "The agent of node " + name + " was started anew."
                : "Node " + name + " cannot be reached any more; see whether its agent runs and whether the network between the hosts works.";
        context.getLog().warn("{}", reason);
        outgoing.values().stream().filter(move -> move.destination().equals(name)).forEach(move -> move.actor().tell(new OutgoingMigration.PeerLost(reason)));
        incoming.values().stream().filter(move -> move.source().equals(name)).forEach(move -> move.actor().tell(new IncomingMigration.PeerLost(reason)));
      }
    }
  }

  private void sendHello(String peer) {
    links.send(peer, new PeerMessage.Hello(settings.name(), ProtocolVersion.CURRENT, ledgerId, facts.kernelRelease()));
  }

  /** Whether it could be reached already, in the same life. */
  private static boolean isSameAsBefore(Map<String, Peer> before, Peer peer) {
    var known = before.get(peer.name());
    return known != null && known.reachable() && known.incarnation() == peer.incarnation();
  }

  private static boolean isReachable(Map<String, Peer> known, String name) {
    var peer = known.get(name);
    return peer != null && peer.reachable();
  }

  private void onPeerMessage(PeerMessage message) {
    switch (message) {
      case PeerMessage.ToDestination toDestination -> {
        var move = incoming.get(toDestination.migration());
        if (move != null) {
          move.actor().tell(new IncomingMigration.FromPeer(toDestination));
        } else {
          onUnknownArrival(toDestination);
        }
      }
      case PeerMessage.ToSource toSource -> {
        var move = outgoing.get(toSource.migration());
        if (move != null) {
          move.actor().tell(new OutgoingMigration.FromPeer(toSource));
        } else {
          onUnknownDeparture(toSource);
        }
      }
      case PeerMessage.Answer answer -> {
        var out = outgoing.get(answer.migration());
        if (out != null) {
          out.actor().tell(new OutgoingMigration.FromPeer(answer));
        }
        var in = incoming.get(answer.migration());
        if (in != null) {
          in.actor().tell(new IncomingMigration.FromPeer(answer));
        }
      }
      case PeerMessage.Hello hello -> {
        if (!hello.equals(hellos.put(hello.from(), hello))) {
          sendHello(hello.from()); // the first one to it may have been lost
        }
      }
      case PeerMessage.Holdings _, PeerMessage.HoldingsVersion _, PeerMessage.HoldingsWanted _ -> registry.tell(new Registry.FromPeer(message));
    }
  }

  /** For a move into this host that has no actor. */
  private void onUnknownArrival(PeerMessage.ToDestination message) {
    switch (message) {
      case PeerMessage.Offer offer -> onOffer(offer);
      case PeerMessage.Activate(var from, var migration, var container, var _, var _) -> {
        var standing = LedgerWord.asDestination(view, container, migration);
        if (standing.isPresent()) {
          links.send(from, new PeerMessage.Answer(settings.name(), migration, standing.get(), ledgerId));
        } else if (!recovering.contains(container)) {
          links.send(from, new PeerMessage.Activated(settings.name(), migration, 0, 0));
        }
      }
      case PeerMessage.RoundSent _, PeerMessage.LastSent _, PeerMessage.Discard _ -> {}
    }
  }

  /** For a move out of this host that has no actor: whoever still works on it learns how it ended. */
  private void onUnknownDeparture(PeerMessage.ToSource message) {
    switch (message) {
      case PeerMessage.Accepted _, PeerMessage.Working _, PeerMessage.Ready _, PeerMessage.Query _ ->
          links.send(
              message.from(), new PeerMessage.Answer(settings.name(), message.migration(), LedgerWord.asSource(view, message.migration()), ledgerId));
      case PeerMessage.Refused _, PeerMessage.Activated _, PeerMessage.Failed _ -> {}
    }
  }

  // ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private void onCommand(NodeCommand command, boolean forwarded) {
    switch (command) {
      case NodeCommand.RunContainer run -> onRun(run, forwarded);
      case NodeCommand.StopContainer stop -> locate(stop, stop.name(), forwarded);
      case NodeCommand.MigrateContainer migrate -> locate(migrate, migrate.name(), forwarded);
      case NodeCommand.CancelMigration cancel -> locate(cancel, cancel.name(), forwarded);
      case NodeCommand.DescribeContainer describe -> locate(describe, describe.name(), forwarded);
      case NodeCommand.ReadConsole read -> locate(read, read.name(), forwarded);
      case NodeCommand.ListContainers(var replyTo) -> registry.tell(new Registry.ListAll(replyTo));
      case NodeCommand.ListNodes(var replyTo) ->
          registry.tell(new Registry.Count<Message>(counts -> new Counted(replyTo, counts), context.getSelf()));
      case NodeCommand.SubscribeProgress(var container, var subscriber) -> {
        if (subscribers.put(subscriber, container) == null) {
          context.watchWith(subscriber, new SubscriberStopped(subscriber));
        }
      }
    }
  }

  /** A container of this host is found at once; for another the registry is asked. */
  private void locate(NodeCommand command, String container, boolean forwarded) {
    if (containers.containsKey(container)) {
      onHere(command, container);
    } else {
      registry.tell(new Registry.Locate<Message>(container, info -> new Located(command, forwarded, info), context.getSelf()));
    }
  }

  private void onLocated(NodeCommand command, boolean forwarded, Optional<ContainerInfo> info) {
    switch (command) {
      case NodeCommand.RunContainer run -> startContainer(run, info);
      case NodeCommand.StopContainer stop -> elsewhere(stop, stop.name(), stop.replyTo(), forwarded, info);
      case NodeCommand.MigrateContainer migrate -> elsewhere(migrate, migrate.name(), migrate.replyTo(), forwarded, info);
      case NodeCommand.CancelMigration cancel -> elsewhere(cancel, cancel.name(), cancel.replyTo(), forwarded, info);
      case NodeCommand.DescribeContainer describe -> elsewhere(describe, describe.name(), describe.replyTo(), forwarded, info);
      case NodeCommand.ReadConsole read -> elsewhere(read, read.name(), read.replyTo(), forwarded, info);
      case NodeCommand.ListContainers _, NodeCommand.ListNodes _, NodeCommand.SubscribeProgress _ -> {}
    }
  }

  private void elsewhere(
      NodeCommand command, String container, ActorRef<? super NodeCommand.Rejected> replyTo, boolean forwarded, Optional<ContainerInfo> info) {
    if (containers.containsKey(container)) {
      onHere(command, container); // it has come meanwhile
    } else if (recovering.contains(container) || info.filter(known -> known.node().equals(settings.name())).isPresent()) {
      replyTo.tell(new NodeCommand.Rejected(Problem.BUSY, "Container %s is just being taken up by node %s; try again in a moment.".formatted(container, settings.name())));
    } else if (info.isEmpty() || forwarded) {
      replyTo.tell(new NodeCommand.Rejected(Problem.UNKNOWN_CONTAINER, "There is no container " + container + "; gantry ps lists all."));
    } else if (!isReachable(peers, info.get().node())) {
      replyTo.tell(
          new NodeCommand.Rejected(
              Problem.NODE_UNREACHABLE, "Container %s is on node %s, which cannot be reached now.".formatted(container, info.get().node())));
    } else {
      links.forward(info.get().node(), command);
    }
  }

  private void onHere(NodeCommand command, String container) {
    var actor = containers.get(container);
    switch (command) {
      case NodeCommand.StopContainer stop -> actor.tell(new ContainerActor.Stop(stop.replyTo()));
      case NodeCommand.MigrateContainer migrate -> admitMove(migrate, actor);
      case NodeCommand.CancelMigration cancel -> cancel(cancel);
      case NodeCommand.DescribeContainer describe -> actor.tell(new ContainerActor.Describe(describe.replyTo()));
      case NodeCommand.ReadConsole read -> readConsole(read);
      case NodeCommand.RunContainer run -> run.replyTo().tell(nameTaken(run.name(), settings.name()));
      case NodeCommand.ListContainers _, NodeCommand.ListNodes _, NodeCommand.SubscribeProgress _ -> {}
    }
  }

  private void onRun(NodeCommand.RunContainer run, boolean forwarded) {
    var node = run.node().orElse(settings.name());
    if (!node.equals(settings.name())) {
      var problem = obstacleTo(node);
      if (problem.isPresent()) {
        run.replyTo().tell(problem.get());
      } else if (forwarded) {
        run.replyTo().tell(new NodeCommand.Rejected(Problem.FAILED, "Node " + settings.name() + " was asked for what only node " + node + " can do."));
      } else {
        links.forward(node, run);
      }
      return;
    }
    var problem = obstacleTo(run);
    if (problem.isPresent()) {
      run.replyTo().tell(problem.get());
    } else {
      registry.tell(new Registry.Locate<Message>(run.name(), info -> new Located(run, forwarded, info), context.getSelf()));
    }
  }

  private Optional<NodeCommand.Rejected> obstacleTo(NodeCommand.RunContainer run) {
    if (!Names.isValid(run.name())) {
      return Optional.of(new NodeCommand.Rejected(Problem.INVALID_ARGUMENT, "The container name '" + run.name() + "' " + Names.RULE));
    }
    if (run.command().isEmpty() || run.command().getFirst().isEmpty()) {
      return Optional.of(new NodeCommand.Rejected(Problem.INVALID_ARGUMENT, "A container needs a program to run."));
    }
    if (!Path.of(run.workingDirectory()).isAbsolute()) {
      return Optional.of(
          new NodeCommand.Rejected(Problem.INVALID_ARGUMENT, "The working directory must be absolute, not '" + run.workingDirectory() + "'."));
    }
    return Optional.empty();
  }

  private void startContainer(NodeCommand.RunContainer run, Optional<ContainerInfo> info) {
    var entry = view.entry(run.name());
    var isArriving = incoming.values().stream().anyMatch(move -> move.container().equals(run.name()));
    if (info.isPresent()) {
      run.replyTo().tell(nameTaken(run.name(), info.get().node()));
    } else if (containers.containsKey(run.name())
        || isArriving
        || recovering.contains(run.name())
        || entry.filter(known -> known.status() != LedgerEntry.Status.GONE).isPresent()) {
      run.replyTo().tell(nameTaken(run.name(), settings.name()));
    } else {
      var spec = new CarriedSpec(run.command(), run.environment(), run.workingDirectory());
      var arriving = LedgerEntry.arriving(run.name(), entry.map(known -> known.epoch() + 1).orElse(1L), "", "", spec);
      containers.put(run.name(), spawnContainer(run.name(), ContainerActor.bear(containerSetup(run.name()), arriving, run.replyTo())));
    }
  }

  private static NodeCommand.Rejected nameTaken(String container, String node) {
    return new NodeCommand.Rejected(
        Problem.NAME_TAKEN, "There is a container %s on node %s already; choose another name or stop that one.".formatted(container, node));
  }

  private void admitMove(NodeCommand.MigrateContainer migrate, ActorRef<ContainerActor.Message> actor) {
    if (migrate.to().equals(settings.name())) {
      migrate
          .replyTo()
          .tell(new NodeCommand.Rejected(Problem.INVALID_ARGUMENT, "Container %s is on node %s already.".formatted(migrate.name(), migrate.to())));
      return;
    }
    var problem = obstacleTo(migrate.to());
    if (problem.isPresent()) {
      migrate.replyTo().tell(problem.get());
    } else if (outgoing.size() >= settings.outgoingMax()) {
      migrate
          .replyTo()
          .tell(
              new NodeCommand.Rejected(
                  Problem.BUSY,
                  "Node %s moves %d containers out already, as many as it may at a time; try again when one has ended."
                      .formatted(settings.name(), outgoing.size())));
    } else {
      actor.tell(new ContainerActor.AdmitMove(migrate));
    }
  }

  /** What speaks against sending anything to a node. */
  private Optional<NodeCommand.Rejected> obstacleTo(String node) {
    var peer = peers.get(node);
    if (peer == null) {
      return Optional.of(new NodeCommand.Rejected(Problem.UNKNOWN_NODE, "There is no node " + node + " in the cluster; gantry nodes lists all."));
    }
    if (!peer.version().isCompatibleWith(ProtocolVersion.CURRENT)) {
      return Optional.of(new NodeCommand.Rejected(Problem.NODE_UNREACHABLE, ProtocolVersion.CURRENT.refusal(node, peer.version())));
    }
    if (!peer.reachable()) {
      return Optional.of(
          new NodeCommand.Rejected(Problem.NODE_UNREACHABLE, "Node %s at %s cannot be reached now; see whether its agent runs.".formatted(node, peer.address())));
    }
    return Optional.empty();
  }

  private void cancel(NodeCommand.CancelMigration cancel) {
    var move = outgoing.values().stream().filter(running -> running.container().equals(cancel.name())).findFirst();
    if (move.isEmpty()) {
      cancel.replyTo().tell(new NodeCommand.Rejected(Problem.NOTHING_TO_CANCEL, "Container " + cancel.name() + " is in no move."));
      return;
    }
    move.get().actor().tell(new OutgoingMigration.Cancel("The move was cancelled by its user."));
    cancel.replyTo().tell(new NodeCommand.CancelAccepted(cancel.name()));
  }

  private void readConsole(NodeCommand.ReadConsole read) {
    if (read.offset() < 0 || read.bytesMax() < 1 || read.bytesMax() > CONSOLE_BYTES_MAX) {
      read.replyTo()
          .tell(
              new NodeCommand.Rejected(
                  Problem.INVALID_ARGUMENT, "A console is read from offset 0 on and by 1 to " + CONSOLE_BYTES_MAX + " bytes at a time."));
      return;
    }
    var ended = Optional.ofNullable(shown.get(read.name())).filter(info -> info.status() == Status.EXITED).isPresent();
    new BlockingLane(world.blocking())
        .submit(() -> world.directories().read(read.name(), read.offset(), read.bytesMax()))
        .whenComplete(
            (console, failure) ->
                read.replyTo()
                    .tell(
                        failure == null
                            ? new NodeCommand.ConsoleChunk(read.offset(), console.bytes(), console.sizeBytes(), ended)
                            : new NodeCommand.Rejected(Problem.FAILED, BlockingLane.sentence(failure))));
  }

  private NodeCommand.NodeList nodes(Map<String, Integer> counts) {
    var nodes = new ArrayList<NodeInfo>();
    nodes.add(
        new NodeInfo(
            settings.name(),
            settings.bindAddress() + ":" + settings.port(),
            true,
            true,
            counts.getOrDefault(settings.name(), 0),
            facts.kernelRelease(),
            ProtocolVersion.CURRENT.toString(),
            ""));
    for (var peer : peers.values()) {
      var hello = hellos.get(peer.name());
      var note = peer.version().isCompatibleWith(ProtocolVersion.CURRENT) ? "" : ProtocolVersion.CURRENT.refusal(peer.name(), peer.version());
      nodes.add(
          new NodeInfo(
              peer.name(),
              peer.address(),
              false,
              peer.reachable(),
              counts.getOrDefault(peer.name(), 0),
              hello == null ? "" : hello.kernel(),
              peer.version().toString(),
              note));
    }
    return new NodeCommand.NodeList(nodes);
  }
}
