package io.gantry.actors;

import akka.actor.typed.ActorRef;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.link.Links;
import io.gantry.actors.link.Peer;
import io.gantry.actors.migration.IncomingMigration;
import io.gantry.actors.migration.OutgoingMigration;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.actors.protocol.ProtocolVersion;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Footprint;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a node does with what its peers say: passes it to the move it belongs to, admits offers, and answers from the ledger
 * for moves that have no actor. Only
 * used on the {@link NodeGuardian}'s thread.
 */
final class PeerDesk {
  /** Starts the actor of an admitted offer. */
  @FunctionalInterface
  interface Arrivals {
    void begin(LedgerEntry arriving, Footprint footprint);
  }

  private static final Logger LOG = LoggerFactory.getLogger(PeerDesk.class);

  private final NodeSettings settings;
  private final NodeTables tables;
  private final Links links;
  private final ActorRef<Registry.Message> registry;
  private final String ledgerId;
  private final String kernel;
  private final Arrivals arrivals;
  /** What peers have said of containers that have no actor yet. */
  private final Map<String, PeerMessage.Owns> early = new HashMap<>();

  /** @param kernel release of this host's, for the peers' display */
  PeerDesk(
      NodeSettings settings, NodeTables tables, Links links, ActorRef<Registry.Message> registry, String ledgerId,
          String kernel, Arrivals arrivals) {
    this.settings = settings;
    this.tables = tables;
    this.links = links;
    this.registry = registry;
    this.ledgerId = ledgerId;
    this.kernel = kernel;
    this.arrivals = arrivals;
  }

  private void onOffer(PeerMessage.Offer offer) {
    if (tables.view.hasOwned(offer.container(), offer.migration())) {
      return; // late or doubled: that move has been completed
    }
    var findings = new ArrayList<Finding>();
    var passing = false;
    if (!offer.version().isCompatibleWith(ProtocolVersion.CURRENT)) {
      findings.add(finding("protocol", ProtocolVersion.CURRENT.refusal(offer.from(), offer.version())));
    }
    if (!Names.isValid(offer.container())) {
      findings.add(finding("name", "The container name '" + offer.container() + "' " + Names.RULE));
    }
    var entry = tables.view.entry(offer.container());
    // What has been given away is on its way out, and a move back can be asked for before it is gone.
    boolean given = entry.filter(known -> known.status() == LedgerEntry.Status.RELEASED).isPresent();
    if (tables.containers.containsKey(offer.container()) && !given) {
      findings.add(
          finding("name",
              "Node %s has a container %s of its own; stop it or choose another destination.".formatted(settings.name(),
                  offer.container())));
    } else if (tables.isBusyWith(offer.container())) {
      passing = findings.isEmpty();
      findings.add(
          finding("name",
              "Node %s is still busy with an earlier move of container %s.".formatted(settings.name(), offer.container())));
    }
    if (tables.incoming.size() >= settings.incomingMax()) {
      passing = findings.isEmpty();
      findings.add(
          finding("moves",
              "Node %s takes in %d containers already, as many as it may at a time.".formatted(settings.name(),
                  tables.incoming.size())));
    }
    if (!findings.isEmpty()) {
      LOG.info("The offer {} of container {} is refused: {}", offer.migration(), offer.container(), findings);
      links.send(offer.from(), new PeerMessage.Refused(settings.name(), offer.migration(), findings, passing));
      return;
    }
    var epoch = Math.max(offer.epoch(), entry.map(known -> known.epoch() + 1).orElse(1L));
    arrivals.begin(
        LedgerEntry.arriving(offer.container(), epoch, offer.from(), offer.migration(), offer.spec()),
        offer.footprint());
  }

  private static Finding finding(String kind, String sentence) {
    return new Finding(0, -1, kind, sentence);
  }


  // ── news of the membership ────────────────────────────────────────────────────────────────────────────────────────────────────────

  void onPeers(List<Peer> now) {
    var before = new TreeMap<>(tables.peers);
    tables.peers.clear();
    now.forEach(
        peer -> {
          tables.peers.put(peer.name(), peer);
          tables.addresses.put(peer.name(), host(peer.address()));
        });
    registry.tell(new Registry.PeersChanged(now));
    for (var peer : now) {
      if (peer.reachable() && !isSameAsBefore(before, peer)) {
        LOG.info("Node {} at {} can be reached", peer.name(), peer.address());
        sendHello(peer.name());
        tables.view.entries().stream().filter(entry -> entry.peer().equals(peer.name())).forEach(this::claim);
      }
    }
    for (var name : before.keySet()) {
      if (isReachable(before, name) && (!tables.isReachable(name) || !isSameAsBefore(before, tables.peers.get(name)))) {
        var restarted = tables.isReachable(name);
        var reason =
            restarted
                ? "The agent of node " + name + " was started anew."
                : "Node " + name
                    + " cannot be reached any more; see whether its agent runs and whether the network between the hosts works.";
        LOG.warn("{}", reason);
        tables.outgoing.values().stream().filter(move -> move.destination().equals(name))
            .forEach(move -> move.actor().tell(new OutgoingMigration.PeerLost(reason, restarted)));
        tables.incoming.values().stream().filter(move -> move.source().equals(name))
            .forEach(move -> move.actor().tell(new IncomingMigration.PeerLost(reason)));
      }
    }
  }

  /** {@code 192.0.2.1} of {@code gantry@192.0.2.1:7750}. */
  private static String host(String address) {
    var host = address.substring(address.indexOf('@') + 1);
    return host.indexOf(':') < 0 ? host : host.substring(0, host.lastIndexOf(':'));
  }

  /**
   * Tells the other side of the move that brought a container, or was to take it away, that it is this node's. That side knows
   * it after a move that went the usual way; after one that a person has resolved it may not.
   */
  void claim(LedgerEntry entry) {
    if (entry.status() == LedgerEntry.Status.OWNED && !entry.migration().isEmpty() && tables.isReachable(entry.peer())) {
      links.send(
          entry.peer(),
          new PeerMessage.Owns(settings.name(), entry.migration(), entry.container(), entry.epoch()));
    }
  }

  /**
   * A peer owns a container by a move between the two. When both think so, the later epoch counts: it was written by the one
   * whom a person has told that the other is off.
   */
  private void onOwns(PeerMessage.Owns owns) {
    var entry = tables.view.entry(owns.container());
    if (entry.isEmpty()) {
      return;
    }
    var here = entry.get();
    if (here.epoch() > owns.epoch() && tables.view.hasOwned(owns.container(), owns.migration())) {
      links.send(
          owns.from(), new PeerMessage.Owns(settings.name(), owns.migration(), owns.container(), here.epoch()));
      return;
    }
    var isOfThatMove = here.migration().equals(owns.migration()) || isOwnMove(owns.migration());
    if (here.status() != LedgerEntry.Status.OWNED || here.epoch() >= owns.epoch() || !isOfThatMove) {
      return;
    }
    var reason =
        "Node %s owns container %s at epoch %d and this node's copy has epoch %d: it was resolved that this host is off."
            .formatted(owns.from(), owns.container(), owns.epoch(), here.epoch());
    tables.outgoingOf(owns.container())
        .ifPresent(move -> move.actor().tell(new OutgoingMigration.Cancel(reason, Optional.empty())));
    var actor = tables.containers.get(owns.container());
    if (actor == null) {
      early.put(owns.container(), owns);
    } else {
      actor.tell(new ContainerActor.GiveWay(owns.epoch(), reason));
    }
  }

  /** A container of the ledger has an actor now. */
  void onAdopted(LedgerEntry entry) {
    claim(entry);
    var owns = early.remove(entry.container());
    if (owns != null) {
      onOwns(owns);
    }
  }

  /** Whether this host's ledger has given a move its id. */
  private boolean isOwnMove(String migration) {
    return migration.startsWith(NodeGuardian.migrationIdPrefix(settings.name(), ledgerId));
  }

  private void sendHello(String peer) {
    links.send(peer, new PeerMessage.Hello(settings.name(), ProtocolVersion.CURRENT, ledgerId, kernel));
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

  void onMessage(PeerMessage message) {
    switch (message) {
      case PeerMessage.ToDestination toDestination -> {
        var move = tables.incoming.get(toDestination.migration());
        if (move != null) {
          move.actor().tell(new IncomingMigration.FromPeer(toDestination));
        } else {
          onUnknownArrival(toDestination);
        }
      }
      case PeerMessage.ToSource toSource -> {
        var move = tables.outgoing.get(toSource.migration());
        if (move != null) {
          move.actor().tell(new OutgoingMigration.FromPeer(toSource));
        } else {
          onUnknownDeparture(toSource);
        }
      }
      case PeerMessage.Answer answer -> {
        var out = tables.outgoing.get(answer.migration());
        if (out != null) {
          out.actor().tell(new OutgoingMigration.FromPeer(answer));
        }
        var in = tables.incoming.get(answer.migration());
        if (in != null) {
          in.actor().tell(new IncomingMigration.FromPeer(answer));
        }
      }
      case PeerMessage.Owns owns -> onOwns(owns);
      case PeerMessage.Hello hello -> {
        if (!hello.equals(tables.hellos.put(hello.from(), hello))) {
          sendHello(hello.from()); // the first one to it may have been lost
        }
      }
      case PeerMessage.Holdings _, PeerMessage.HoldingsVersion _, PeerMessage.HoldingsWanted _ ->
          registry.tell(new Registry.FromPeer(message));
    }
  }

  /** For a move into this host that has no actor. */
  private void onUnknownArrival(PeerMessage.ToDestination message) {
    switch (message) {
      case PeerMessage.Offer offer -> onOffer(offer);
      case PeerMessage.Activate(var from, var migration, var container, var _, var _) -> {
        var standing = LedgerWord.asDestination(tables.view, container, migration);
        if (standing.isPresent()) {
          links.send(from, new PeerMessage.Answer(settings.name(), migration, standing.get(), ledgerId));
        } else if (!tables.recovering.contains(container)) {
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
              message.from(),
                  new PeerMessage.Answer(settings.name(), message.migration(),
                      LedgerWord.asSource(tables.view, message.migration()), ledgerId));
      case PeerMessage.Activated activated ->
          // It owns what was taken back here, because somebody has said that it is off.
          tables.view.ownedUnder(activated.migration())
              .flatMap(tables.view::entry)
              .ifPresent(
                  entry ->
                      links.send(
                          activated.from(),
                              new PeerMessage.Owns(settings.name(), activated.migration(), entry.container(), entry.epoch())));
      case PeerMessage.Refused _, PeerMessage.Failed _, PeerMessage.RoundApplied _ -> {}
    }
  }
}
