package io.gantry.actors;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import io.gantry.actors.ContainerInfo.Status;
import io.gantry.actors.link.Links;
import io.gantry.actors.link.Peer;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.actors.protocol.PeerMessage.Holding;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * Which container lives where, at which epoch, as far as this node has heard. Each node tells its peers what it has, change
 * by change; who finds that it has missed
 * something asks for everything. It is a cache for {@code ps} and for passing commands on: nobody runs or stops a container
 * because of it.
 */
final class Registry {
  sealed interface Message {}

  /** A container of this node is to be shown so from now on. */
  record Show(ContainerInfo info) implements Message {}

  record Hide(String container) implements Message {}

  record FromPeer(PeerMessage message) implements Message {}

  record PeersChanged(List<Peer> peers) implements Message {}

  record ListAll(ActorRef<NodeCommand.ContainerList> replyTo) implements Message {}

  /** Where is it? {@code answer} makes the reply from what is known. */
  record Locate<T>(String container, Function<Optional<ContainerInfo>, T> answer, ActorRef<T> replyTo) implements Message {}

  /** As {@link Locate}, but a node that also knows of it is preferred to {@code not}. */
  record LocateElsewhere<T>(String container, String not, Function<Optional<ContainerInfo>, T> answer,
      ActorRef<T> replyTo) implements Message {}

  /** How many containers a node owns, by node. */
  record Count<T>(Function<Map<String, Integer>, T> answer, ActorRef<T> replyTo) implements Message {}

  private record Tick() implements Message {}

  /** How often a node says which version its holdings have. */
  private static final Duration TICK = Duration.ofSeconds(5);

  /** Containers in one message; keeps it well below the largest that a link carries. */
  private static final int PART_MAX = 200;

  private static final String GONE = "GONE";

  private static final class Remote {
    private long incarnation = -1;
    private long version = -1;
    /** As they came: nodes of one process share them. */
    private final Map<String, Holding> containers = new HashMap<>();
  }

  private final Links links;
  private final String self;
  private final long incarnation;
  private final Map<String, ContainerInfo> own = new TreeMap<>();
  private final Map<String, Remote> remotes = new HashMap<>();
  private final Map<String, Long> reachable = new HashMap<>();
  private long version;

  private Registry(Links links, String self, long incarnation) {
    this.links = links;
    this.self = self;
    this.incarnation = incarnation;
  }

  static Behavior<Message> create(Links links, String self, long incarnation) {
    return Behaviors.setup(
        context ->
            Behaviors.withTimers(
                timers -> {
                  timers.startTimerWithFixedDelay(new Tick(), TICK);
                  return new Registry(links, self, incarnation).behavior(context);
                }));
  }

  private Behavior<Message> behavior(ActorContext<Message> context) {
    return Behaviors.receiveMessage(
        message -> {
          switch (message) {
            case Show(var info) -> {
              own.put(info.name(), info);
              change(holding(info));
            }
            case Hide(var container) -> {
              var info = own.remove(container);
              if (info != null) {
                change(new Holding(container, info.epoch(), GONE, List.of(), 0, ""));
              }
            }
            case FromPeer(var fromPeer) -> onPeer(fromPeer);
            case PeersChanged(var peers) -> onPeers(peers);
            case ListAll(var replyTo) -> replyTo.tell(new NodeCommand.ContainerList(all()));
            case Locate<?> locate -> answer(locate);
            case LocateElsewhere<?> locate -> answer(locate);
            case Count<?> count -> answer(count);
            case Tick() -> toAll(new PeerMessage.HoldingsVersion(self, incarnation, version, own.size()));
          }
          return Behaviors.same();
        });
  }

  private <T> void answer(Locate<T> locate) {
    locate.replyTo().tell(locate.answer().apply(find(locate.container())));
  }

  private <T> void answer(LocateElsewhere<T> locate) {
    var elsewhere = find(locate.container(), node -> !node.equals(locate.not()));
    locate.replyTo().tell(locate.answer().apply(elsewhere.or(() -> find(locate.container()))));
  }

  private <T> void answer(Count<T> count) {
    var counts = new HashMap<String, Integer>();
    for (var info : all()) {
      counts.merge(info.node(), 1, Integer::sum);
    }
    count.replyTo().tell(count.answer().apply(counts));
  }

  // ── own holdings ─────────────────────────────────────────────────────────────────────────────────────────────────

  private void change(Holding changed) {
    version++;
    toAll(new PeerMessage.Holdings(self, incarnation, version - 1, version, List.of(changed)));
  }

  private void toAll(PeerMessage message) {
    reachable.keySet().forEach(peer -> links.send(peer, message));
  }

  private void sendEverything(Collection<String> peers) {
    if (peers.isEmpty()) {
      return;
    }
    var holdings = own.values().stream().map(Registry::holding).toList();
    for (var from = 0; from == 0 || from < holdings.size(); from += PART_MAX) {
      var part = holdings.subList(from, Math.min(from + PART_MAX, holdings.size()));
      var message = new PeerMessage.Holdings(self, incarnation, from == 0 ? -1 : version, version, part);
      peers.forEach(peer -> links.send(peer, message));
    }
  }

  private static Holding holding(ContainerInfo info) {
    return new Holding(info.name(), info.epoch(), info.status().name(), info.command(), info.initPid(), info.note());
  }

  // ── the peers' holdings ──────────────────────────────────────────────────────────────────────────────────────────

  private void onPeers(List<Peer> peers) {
    var now = new TreeMap<String, Long>();
    for (var peer : peers) {
      if (peer.reachable()) {
        now.put(peer.name(), peer.incarnation());
      }
    }
    var fresh = new ArrayList<String>();
    now.forEach(
        (peer, life) -> {
          if (!life.equals(reachable.get(peer))) {
            fresh.add(peer);
          }
        });
    reachable.clear();
    reachable.putAll(now);
    sendEverything(fresh);
  }

  private void onPeer(PeerMessage message) {
    switch (message) {
      case PeerMessage.Holdings holdings -> onHoldings(holdings);
      case PeerMessage.HoldingsVersion(var from, var theirs, var theirVersion, var count) -> {
        var remote = remotes.get(from);
        if (remote == null || remote.incarnation != theirs || remote.version != theirVersion
            || remote.containers.size() != count) {
          links.send(from, new PeerMessage.HoldingsWanted(self));
        }
      }
      case PeerMessage.HoldingsWanted(var from) -> sendEverything(List.of(from));
      case PeerMessage.OfMigration _, PeerMessage.Hello _ -> {}
    }
  }

  private void onHoldings(PeerMessage.Holdings holdings) {
    var remote = remotes.computeIfAbsent(holdings.from(), _ -> new Remote());
    if (holdings.incarnation() < remote.incarnation) {
      return; // of an earlier life of that node
    }
    if (holdings.baseVersion() == -1) {
      if (holdings.incarnation() == remote.incarnation && holdings.version() < remote.version) {
        return; // overtaken
      }
      remote.containers.clear();
    } else if (holdings.incarnation() != remote.incarnation || holdings.baseVersion() != remote.version) {
      if (holdings.version() > remote.version || holdings.incarnation() != remote.incarnation) {
        links.send(holdings.from(), new PeerMessage.HoldingsWanted(self));
      }
      return;
    }
    remote.incarnation = holdings.incarnation();
    remote.version = holdings.version();
    for (var changed : holdings.changed()) {
      if (changed.status().equals(GONE)) {
        remote.containers.remove(changed.container());
      } else {
        remote.containers.put(changed.container(), changed);
      }
    }
  }

  private static ContainerInfo info(String node, Holding holding) {
    Status status;
    try {
      status = Status.valueOf(holding.status());
    } catch (IllegalArgumentException _) {
      status = Status.RUNNING; // a status that a newer minor version knows; the container is there
    }
    return new ContainerInfo(holding.container(), node, holding.epoch(), status, holding.command(), holding.initPid(),
        holding.note());
  }

  // ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The best-founded word about each container, by name. */
  private List<ContainerInfo> all() {
    var best = new TreeMap<>(own);
    remotes.forEach(
        (node, remote) ->
            remote.containers.values()
                .forEach(holding -> best.merge(holding.container(), known(node, holding), this::merged)));
    return new ArrayList<>(best.values());
  }

  /** The better-founded word; when its node cannot be asked any more, with what the other one has. */
  private ContainerInfo merged(ContainerInfo one, ContainerInfo other) {
    var best = better(one, other);
    var second = best == one ? other : one;
    if (second.status() != Status.HELD || best.node().equals(self) || reachable.containsKey(best.node())) {
      return best;
    }
    return withNote(
        best,
        best.note() + " Node " + second.node() + " holds a complete copy, frozen, and waits for node " + best.node()
            + "; if that host is off: gantry resolve.");
  }

  /** The same for one container. */
  private Optional<ContainerInfo> find(String container) {
    return find(container, _ -> true);
  }

  private Optional<ContainerInfo> find(String container, Predicate<String> node) {
    var best = Optional.ofNullable(own.get(container)).filter(_ -> node.test(self));
    for (var remote : remotes.entrySet()) {
      var holding = remote.getValue().containers.get(container);
      if (holding != null && node.test(remote.getKey())) {
        var info = known(remote.getKey(), holding);
        best = Optional.of(best.isEmpty() ? info : better(best.get(), info));
      }
    }
    return best;
  }

  private ContainerInfo known(String node, Holding holding) {
    var info = info(node, holding);
    return reachable.containsKey(node) ? info : unreachable(info);
  }

  private static ContainerInfo unreachable(ContainerInfo info) {
    return withNote(
        info, ("Node " + info.node() + " cannot be reached; this is what it said last. " + info.note()).strip());
  }

  private static ContainerInfo withNote(ContainerInfo info, String note) {
    return new ContainerInfo(
        info.name(),
        info.node(),
        info.epoch(),
        info.status(),
        info.command(),
        info.initPid(),
        note);
  }

  private static ContainerInfo better(ContainerInfo one, ContainerInfo other) {
    // An owner's word counts more than that of a host that only has a copy; then the later epoch.
    Comparator<ContainerInfo> order =
        Comparator.comparing((ContainerInfo info) -> weight(info.status()) > 1).thenComparing(ContainerInfo::epoch)
            .thenComparing(info -> weight(info.status()));
    return order.compare(one, other) >= 0 ? one : other;
  }

  private static int weight(Status status) {
    return switch (status) {
      case ARRIVING -> 0;
      case HELD -> 1;
      case RELEASED, IN_DOUBT -> 2;
      case EXITED -> 3;
      case RUNNING, MIGRATING -> 4;
    };
  }
}
