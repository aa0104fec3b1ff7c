package io.gantry.actors;

import akka.actor.typed.ActorRef;
import akka.actor.typed.javadsl.ActorContext;
import io.gantry.actors.ContainerInfo.Status;
import io.gantry.actors.NodeCommand.Problem;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.link.Links;
import io.gantry.actors.migration.IncomingMigration;
import io.gantry.actors.migration.OutgoingMigration;
import io.gantry.actors.protocol.CarriedSpec;
import io.gantry.actors.protocol.ProtocolVersion;
import io.gantry.checkpoint.NetworkSpec;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.Consumer;

/**
 * What a node does with commands: carries them out, passes them on to the node that can, or says why not. Only used on the
 * {@link NodeGuardian}'s thread.
 */
final class CommandDesk {
  /** Moves that wait for their turn. */
  @FunctionalInterface
  interface Waits {
    /** Calls one off. @return whether there was one; it was answered then */
    boolean cancel(NodeCommand.CancelMigration cancel);
  }

  /** What the one who asked for a cancelled move is told. */
  static final String CANCELLED = "The move was cancelled by its user.";

  /** Starts the actor of a container that is to be born. */
  @FunctionalInterface
  interface Births {
    void begin(LedgerEntry arriving, ActorRef<NodeCommand.RunReply> replyTo);
  }

  /** A container is taken up within this after a move or a start of the agent, unless something is wrong with it. */
  private static final int TAKEN_UP_TRIES = 50;

  private static final Duration TAKEN_UP_PAUSE = Duration.ofMillis(100);

  /** Most moves that wait for their turn. */
  private static final int WAITING_MAX = 1024;

  private static final int CONSOLE_BYTES_MAX = 65_536;

  private final NodeSettings settings;
  private final World world;
  private final NodeTables tables;
  private final Links links;
  private final ActorRef<Registry.Message> registry;
  private final ActorContext<NodeGuardian.Message> guardian;
  private final ActorRef<NodeGuardian.Message> self;
  private final String kernel;
  private final Births births;
  private final Waits waits;
  private final Consumer<NodeCommand.SubscribeProgress> subscriptions;

  /** @param guardian is given the registry's answers; @param kernel release of this host's */
  CommandDesk(
      NodeSettings settings,
      World world,
      NodeTables tables,
      Links links,
      ActorRef<Registry.Message> registry,
      ActorContext<NodeGuardian.Message> guardian,
      String kernel,
      Births births,
      Waits waits,
      Consumer<NodeCommand.SubscribeProgress> subscriptions) {
    this.settings = settings;
    this.world = world;
    this.tables = tables;
    this.links = links;
    this.registry = registry;
    this.guardian = guardian;
    this.self = guardian.getSelf();
    this.kernel = kernel;
    this.births = births;
    this.waits = waits;
    this.subscriptions = subscriptions;
  }

  void onCommand(NodeCommand command, boolean forwarded) {
    switch (command) {
      case NodeCommand.RunContainer run -> onRun(run, forwarded);
      case NodeCommand.StopContainer stop -> locate(stop, stop.name(), forwarded, 1);
      case NodeCommand.MigrateContainer migrate -> locate(migrate, migrate.name(), forwarded, 1);
      case NodeCommand.CancelMigration cancel -> locate(cancel, cancel.name(), forwarded, 1);
      case NodeCommand.ResolveContainer resolve -> onResolve(resolve, forwarded, 1);
      case NodeCommand.DescribeContainer describe -> locate(describe, describe.name(), forwarded, 1);
      case NodeCommand.ReadConsole read -> locate(read, read.name(), forwarded, 1);
      case NodeCommand.ListContainers(var replyTo) -> registry.tell(new Registry.ListAll(replyTo));
      case NodeCommand.ListNodes(var replyTo) ->
          registry.tell(new Registry.Count<NodeGuardian.Message>(counts -> new NodeGuardian.Counted(replyTo, counts), self));
      case NodeCommand.CompareHosts compare -> onCompare(compare, forwarded);
      case NodeCommand.SubscribeProgress subscribe -> subscriptions.accept(subscribe);
    }
  }

  /** A container of this host is found at once; for another the registry is asked. */
  private void locate(NodeCommand command, String container, boolean forwarded, int attempt) {
    if (tables.containers.containsKey(container)) {
      onHere(command, container);
    } else {
      registry.tell(
          new Registry.Locate<NodeGuardian.Message>(container, info -> new NodeGuardian.Located(command, forwarded, attempt, info), self));
    }
  }

  /** The same command once more, for a container that was being taken up. */
  void onLocateAgain(NodeCommand command, String container, boolean forwarded, int attempt) {
    if (command instanceof NodeCommand.ResolveContainer resolve) {
      onResolve(resolve, forwarded, attempt);
    } else {
      locate(command, container, forwarded, attempt);
    }
  }

  void onLocated(NodeCommand command, boolean forwarded, int attempt, Optional<ContainerInfo> info) {
    switch (command) {
      case NodeCommand.RunContainer run -> startContainer(run, info);
      case NodeCommand.StopContainer stop -> elsewhere(stop, stop.name(), stop.replyTo(), forwarded, attempt, info);
      case NodeCommand.MigrateContainer migrate -> elsewhere(migrate, migrate.name(), migrate.replyTo(), forwarded, attempt, info);
      case NodeCommand.CancelMigration cancel -> elsewhere(cancel, cancel.name(), cancel.replyTo(), forwarded, attempt, info);
      case NodeCommand.ResolveContainer resolve -> onResolve(resolve, forwarded, attempt, info);
      case NodeCommand.DescribeContainer describe -> elsewhere(describe, describe.name(), describe.replyTo(), forwarded, attempt, info);
      case NodeCommand.ReadConsole read -> elsewhere(read, read.name(), read.replyTo(), forwarded, attempt, info);
      case NodeCommand.ListContainers _, NodeCommand.ListNodes _, NodeCommand.CompareHosts _, NodeCommand.SubscribeProgress _ -> {}
    }
  }

  private void elsewhere(
      NodeCommand command, String container, ActorRef<? super NodeCommand.Rejected> replyTo, boolean forwarded, int attempt,
          Optional<ContainerInfo> info) {
    if (tables.containers.containsKey(container)) {
      onHere(command, container); // it has come meanwhile
    } else if (tables.recovering.contains(container) || info.filter(known -> known.node().equals(settings.name())).isPresent()) {
      if (attempt < TAKEN_UP_TRIES) {
        guardian.scheduleOnce(TAKEN_UP_PAUSE, self, new NodeGuardian.LocateAgain(command, container, forwarded, attempt + 1));
        return;
      }
      replyTo.tell(
          new NodeCommand.Rejected(Problem.BUSY,
              "Node %s is still taking up container %s; its log says what is in the way.".formatted(settings.name(), container)));
    } else if (info.isEmpty() || forwarded) {
      replyTo.tell(
          new NodeCommand.Rejected(Problem.UNKNOWN_CONTAINER, "There is no container " + container + "; gantry ps lists all."));
    } else if (!tables.isReachable(info.get().node())) {
      replyTo.tell(
          new NodeCommand.Rejected(
              Problem.NODE_UNREACHABLE,
                  "Container %s is on node %s, which cannot be reached now.".formatted(container, info.get().node())));
    } else {
      links.forward(info.get().node(), command);
    }
  }

  private void onHere(NodeCommand command, String container) {
    var actor = tables.containers.get(container);
    switch (command) {
      case NodeCommand.StopContainer stop -> actor.tell(new ContainerActor.Stop(stop.replyTo()));
      case NodeCommand.MigrateContainer migrate -> admitMove(migrate, actor);
      case NodeCommand.CancelMigration cancel -> cancel(cancel);
      case NodeCommand.ResolveContainer resolve -> resolve(resolve);
      case NodeCommand.DescribeContainer describe -> actor.tell(new ContainerActor.Describe(describe.replyTo()));
      case NodeCommand.ReadConsole read -> readConsole(read);
      case NodeCommand.RunContainer run -> run.replyTo().tell(nameTaken(run.name(), settings.name()));
      case NodeCommand.ListContainers _, NodeCommand.ListNodes _, NodeCommand.CompareHosts _, NodeCommand.SubscribeProgress _ -> {}
    }
  }

  private void onRun(NodeCommand.RunContainer run, boolean forwarded) {
    var node = run.node().orElse(settings.name());
    if (!node.equals(settings.name())) {
      var problem = obstacleTo(node);
      if (problem.isPresent()) {
        run.replyTo().tell(problem.get());
      } else if (forwarded) {
        run.replyTo()
            .tell(new NodeCommand.Rejected(Problem.FAILED, "Node " + settings.name() + " was asked for what only node " + node
                + " can do."));
      } else {
        links.forward(node, run);
      }
      return;
    }
    var problem = obstacleTo(run);
    if (problem.isPresent()) {
      run.replyTo().tell(problem.get());
    } else {
      registry.tell(
          new Registry.Locate<NodeGuardian.Message>(run.name(), info -> new NodeGuardian.Located(run, forwarded, 1, info), self));
    }
  }

  private Optional<NodeCommand.Rejected> obstacleTo(NodeCommand.RunContainer run) {
    if (!Names.isValid(run.name())) {
      return Optional.of(
          new NodeCommand.Rejected(Problem.INVALID_ARGUMENT, "The container name '" + run.name() + "' " + Names.RULE));
    }
    if (run.command().isEmpty() || run.command().getFirst().isEmpty()) {
      return Optional.of(new NodeCommand.Rejected(Problem.INVALID_ARGUMENT, "A container needs a program to run."));
    }
    if (!Path.of(run.workingDirectory()).isAbsolute()) {
      return Optional.of(
          new NodeCommand.Rejected(Problem.INVALID_ARGUMENT, "The working directory must be absolute, not '"
              + run.workingDirectory() + "'."));
    }
    var relative = run.volumes().stream().filter(volume -> !Path.of(volume).isAbsolute()).findFirst();
    if (relative.isPresent()) {
      return Optional.of(new NodeCommand.Rejected(Problem.INVALID_ARGUMENT, "A volume must be absolute, not '" + relative.get() + "'."));
    }
    try {
      run.network().ifPresent(NetworkSpec::parse);
    } catch (IllegalArgumentException wrong) {
      return Optional.of(new NodeCommand.Rejected(Problem.INVALID_ARGUMENT, wrong.getMessage()));
    }
    return Optional.empty();
  }

  private void startContainer(NodeCommand.RunContainer run, Optional<ContainerInfo> info) {
    var entry = tables.view.entry(run.name());
    if (info.isPresent()) {
      run.replyTo().tell(nameTaken(run.name(), info.get().node()));
    } else if (tables.containers.containsKey(run.name()) || tables.isBusyWith(run.name())) {
      run.replyTo().tell(nameTaken(run.name(), settings.name()));
    } else {
      var spec = new CarriedSpec(run.command(), run.environment(), run.workingDirectory(), run.oci(), run.network().orElse(""), run.volumes());
      var arriving = LedgerEntry.arriving(run.name(), entry.map(known -> known.epoch() + 1).orElse(1L), "", "", spec);
      births.begin(arriving, run.replyTo());
    }
  }

  private static NodeCommand.Rejected nameTaken(String container, String node) {
    return new NodeCommand.Rejected(
        Problem.NAME_TAKEN,
            "There is a container %s on node %s already; choose another name or stop that one.".formatted(container, node));
  }

  private void admitMove(NodeCommand.MigrateContainer migrate, ActorRef<ContainerActor.Message> actor) {
    if (migrate.to().equals(settings.name())) {
      migrate
          .replyTo()
          .tell(new NodeCommand.Rejected(Problem.INVALID_ARGUMENT,
              "Container %s is on node %s already.".formatted(migrate.name(), migrate.to())));
      return;
    }
    var problem = obstacleTo(migrate.to()).or(() -> obstacleToRuntimes(migrate)).or(() -> obstacleToVolumes(migrate));
    if (problem.isPresent()) {
      migrate.replyTo().tell(problem.get());
    } else if (tables.waiting.size() >= WAITING_MAX) {
      migrate
          .replyTo()
          .tell(
              new NodeCommand.Rejected(
                  Problem.BUSY,
                  "On node %s %d moves wait for their turn already, as many as may; try again when some have ended."
                      .formatted(settings.name(), tables.waiting.size())));
    } else {
      actor.tell(new ContainerActor.AdmitMove(migrate));
    }
  }

  /** A node of an earlier release would overlook that a runtime has to make the container. */
  private Optional<NodeCommand.Rejected> obstacleToRuntimes(NodeCommand.MigrateContainer migrate) {
    boolean made = tables.view.entry(migrate.name()).flatMap(LedgerEntry::spec).flatMap(CarriedSpec::oci).isPresent();
    var version = tables.peers.get(migrate.to()).version();
    return made && !version.knowsRuntimes()
        ? Optional.of(
            new NodeCommand.Rejected(
                Problem.NODE_UNREACHABLE,
                "An OCI runtime has made container %s, and node %s, which speaks version %s of the protocol, knows of none; install this release of Gantry there."
                    .formatted(migrate.name(), migrate.to(), version)))
        : Optional.empty();
  }

  /** A node of an earlier release would overlook that files have to come, too. */
  private Optional<NodeCommand.Rejected> obstacleToVolumes(NodeCommand.MigrateContainer migrate) {
    boolean has = tables.view.entry(migrate.name()).flatMap(LedgerEntry::spec).filter(spec -> !spec.volumes().isEmpty()).isPresent();
    var version = tables.peers.get(migrate.to()).version();
    return has && !version.knowsVolumes()
        ? Optional.of(
            new NodeCommand.Rejected(
                Problem.NODE_UNREACHABLE,
                "Container %s has volumes, and node %s, which speaks version %s of the protocol, knows of none; install this release of Gantry there."
                    .formatted(migrate.name(), migrate.to(), version)))
        : Optional.empty();
  }

  /** What speaks against sending anything to a node. */
  private Optional<NodeCommand.Rejected> obstacleTo(String node) {
    var peer = tables.peers.get(node);
    if (peer == null) {
      return Optional.of(
          new NodeCommand.Rejected(Problem.UNKNOWN_NODE, "There is no node " + node
              + " in the cluster; gantry nodes lists all."));
    }
    if (!peer.version().isCompatibleWith(ProtocolVersion.CURRENT)) {
      return Optional.of(
          new NodeCommand.Rejected(Problem.NODE_UNREACHABLE, ProtocolVersion.CURRENT.refusal(node, peer.version())));
    }
    if (!peer.reachable()) {
      return Optional.of(
          new NodeCommand.Rejected(Problem.NODE_UNREACHABLE,
              "Node %s at %s cannot be reached now; see whether its agent runs.".formatted(node, peer.address())));
    }
    return Optional.empty();
  }

  private void cancel(NodeCommand.CancelMigration cancel) {
    if (waits.cancel(cancel)) {
      return;
    }
    var move = tables.outgoingOf(cancel.name());
    if (move.isEmpty()) {
      cancel.replyTo()
          .tell(new NodeCommand.Rejected(Problem.NOTHING_TO_CANCEL, "Container " + cancel.name() + " is in no move."));
      return;
    }
    move.get().actor().tell(new OutgoingMigration.Cancel(CANCELLED, Optional.of(cancel.replyTo())));
  }

  /** The node that is asked says what its host is, the other one compares. */
  private void onCompare(NodeCommand.CompareHosts compare, boolean forwarded) {
    boolean here = compare.with().equals(settings.name());
    if (here && compare.source().isPresent()) {
      ask(() -> world.engine().compare(compare.source().get()), compare.replyTo(), rows -> compare.replyTo().tell(new NodeCommand.Compared(rows)));
      return;
    }
    var problem =
        here
            ? Optional.of(
                new NodeCommand.Rejected(Problem.INVALID_ARGUMENT, "Node " + compare.with() + " is the one that was asked; name another one to compare it with."))
            : obstacleTo(compare.with());
    if (problem.isEmpty() && !forwarded && compare.source().isPresent()) {
      links.forward(compare.with(), compare);
      return;
    }
    if (problem.isPresent() || forwarded) {
      compare.replyTo().tell(problem.orElseGet(() -> new NodeCommand.Rejected(Problem.FAILED, "Node " + settings.name() + " was asked for what only node "
          + compare.with() + " can do.")));
      return;
    }
    ask(
        () -> world.engine().hostFacts(),
        compare.replyTo(),
        facts -> self.tell(new NodeGuardian.Continued(new NodeCommand.CompareHosts(compare.with(), Optional.of(facts), compare.replyTo()))));
  }

  /** @param then runs on another thread */
  private <T> void ask(Callable<T> question, ActorRef<? super NodeCommand.Rejected> replyTo, Consumer<T> then) {
    new BlockingLane(world.blocking())
        .submit(question)
        .whenComplete(
            (answer, failure) -> {
              if (failure == null) {
                then.accept(answer);
              } else {
                replyTo.tell(new NodeCommand.Rejected(Problem.FAILED, BlockingLane.sentence(failure)));
              }
            });
  }

  // ── what a person knows ──────────────────────────────────────────────────────────────────────────────────────────

  /** Two nodes may have something of the container: it is for the one that waits. */
  private void onResolve(NodeCommand.ResolveContainer resolve, boolean forwarded, int attempt) {
    if (isInMoveHere(resolve.name())) {
      resolve(resolve);
    } else {
      registry.tell(
          new Registry.LocateElsewhere<NodeGuardian.Message>(
              resolve.name(), resolve.hostOff(), info -> new NodeGuardian.Located(resolve, forwarded, attempt, info), self));
    }
  }

  private void onResolve(NodeCommand.ResolveContainer resolve, boolean forwarded, int attempt, Optional<ContainerInfo> info) {
    if (isInMoveHere(resolve.name())) {
      resolve(resolve);
    } else if (info.filter(known -> known.node().equals(resolve.hostOff())).isPresent()) {
      resolve.replyTo()
          .tell(
              new NodeCommand.Rejected(
                  Problem.NOT_IN_DOUBT,
                  "As far as node %s knows, container %s is on node %s itself, and no other node waits with a copy of it."
                      .formatted(settings.name(), resolve.name(), resolve.hostOff())));
    } else {
      elsewhere(resolve, resolve.name(), resolve.replyTo(), forwarded, attempt, info);
    }
  }

  private boolean isInMoveHere(String container) {
    return tables.outgoingOf(container).isPresent() || tables.incomingOf(container).isPresent();
  }

  private void resolve(NodeCommand.ResolveContainer resolve) {
    var reason =
        "A person has confirmed that the host of node " + resolve.hostOff() + " is off (gantry resolve).";
    var replyTo = Optional.of(resolve.replyTo());
    var out = tables.outgoingOf(resolve.name());
    var in = tables.incomingOf(resolve.name());
    var problem =
        out.map(move -> obstacleTo(resolve, move.destination()))
            .or(() -> in.map(move -> obstacleTo(resolve, move.source())))
            .orElse(Optional.of("Container %s is not in doubt: it is in no move.".formatted(resolve.name())));
    if (problem.isPresent()) {
      resolve.replyTo().tell(new NodeCommand.Rejected(Problem.NOT_IN_DOUBT, problem.get()));
    } else if (out.isPresent()) {
      out.get().actor().tell(new OutgoingMigration.ConfirmOff(reason, replyTo));
    } else {
      in.get().actor().tell(new IncomingMigration.ConfirmOff(reason, replyTo));
    }
  }

  private Optional<String> obstacleTo(NodeCommand.ResolveContainer resolve, String peer) {
    if (!peer.equals(resolve.hostOff())) {
      return Optional.of(
          "Container %s on node %s has to do with node %s, not with %s; say --host-is-off %s if that one is off."
              .formatted(resolve.name(), settings.name(), peer, resolve.hostOff(), peer));
    }
    if (tables.isReachable(peer)) {
      return Optional.of(
          "Node %s can be reached right now, so its host is not off; what becomes of container %s is decided by asking it."
              .formatted(peer, resolve.name()));
    }
    return Optional.empty();
  }

  private void readConsole(NodeCommand.ReadConsole read) {
    if (read.offset() < 0 || read.bytesMax() < 1 || read.bytesMax() > CONSOLE_BYTES_MAX) {
      read.replyTo()
          .tell(
              new NodeCommand.Rejected(
                  Problem.INVALID_ARGUMENT, "A console is read from offset 0 on and by 1 to " + CONSOLE_BYTES_MAX
                      + " bytes at a time."));
      return;
    }
    var ended = Optional.ofNullable(tables.shown.get(read.name())).filter(info -> info.status() == Status.EXITED).isPresent();
    ask(
        () -> world.directories().read(read.name(), read.offset(), read.bytesMax()),
        read.replyTo(),
        console -> read.replyTo().tell(new NodeCommand.ConsoleChunk(read.offset(), console.bytes(), console.sizeBytes(), ended)));
  }

  NodeCommand.NodeList nodes(Map<String, Integer> counts) {
    var nodes = new ArrayList<NodeInfo>();
    nodes.add(
        new NodeInfo(
            settings.name(),
            settings.bindAddress() + ":" + settings.port(),
            true,
            true,
            counts.getOrDefault(settings.name(), 0),
            kernel,
            ProtocolVersion.CURRENT.toString(),
            ""));
    for (var peer : tables.peers.values()) {
      var hello = tables.hellos.get(peer.name());
      var note = peer.version().isCompatibleWith(ProtocolVersion.CURRENT) ? ""
          : ProtocolVersion.CURRENT.refusal(peer.name(), peer.version());
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
