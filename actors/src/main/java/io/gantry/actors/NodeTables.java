package io.gantry.actors;

import akka.actor.typed.ActorRef;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.ledger.LedgerState;
import io.gantry.actors.link.Peer;
import io.gantry.actors.migration.IncomingMigration;
import io.gantry.actors.migration.OutgoingMigration;
import io.gantry.actors.protocol.PeerMessage;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/** What a node knows of itself and its peers. Belongs to its {@link NodeGuardian}; only used on that actor's thread. */
final class NodeTables {
  /** A move out of this node. @param command the wish of the one who is to be answered, when there is one */
  record Outgoing(
      ActorRef<OutgoingMigration.Message> actor, String container, String destination,
          Optional<NodeCommand.MigrateContainer> command) {}

  /** A move into this node. */
  record Incoming(ActorRef<IncomingMigration.Message> actor, String container, String source) {}

  /** A move out of this node that waits until others have ended. @param sinceNs when it was asked for */
  record Waiting(String migration, NodeCommand.MigrateContainer command, LedgerEntry entry, long sinceNs) {
    String container() {
      return command.name();
    }
  }

  /** What the ledger says; never older than what any other actor acts on. */
  final LedgerState view;

  /** The actors of this node's containers, by name. */
  final Map<String, ActorRef<ContainerActor.Message>> containers = new HashMap<>();

  /** What the registry was told of this node's containers. */
  final Map<String, ContainerInfo> shown = new TreeMap<>();

  /** By id of the move. */
  final Map<String, Outgoing> outgoing = new TreeMap<>();

  /** In the order in which they were asked for. */
  final List<Waiting> waiting = new ArrayList<>();

  /** By id of the move. */
  final Map<String, Incoming> incoming = new TreeMap<>();

  /** Containers that the ledger names and that have no actor yet, or not any more. */
  final Set<String> recovering = new HashSet<>();

  /** By name. */
  final Map<String, Peer> peers = new TreeMap<>();

  /** The IP address that each node had when it was last known; by name. */
  final Map<String, String> addresses = new HashMap<>();

  final Map<String, PeerMessage.Hello> hellos = new HashMap<>();

  NodeTables(LedgerState view) {
    this.view = view;
  }

  Optional<Outgoing> outgoingOf(String container) {
    return outgoing.values().stream().filter(move -> move.container().equals(container)).findFirst();
  }

  Optional<Incoming> incomingOf(String container) {
    return incoming.values().stream().filter(move -> move.container().equals(container)).findFirst();
  }

  boolean isReachable(String node) {
    var peer = peers.get(node);
    return peer != null && peer.reachable();
  }

  /** Whether there is something of a container here that is not, or not yet, this node's own. */
  boolean isBusyWith(String container) {
    return recovering.contains(container)
        || incoming.values().stream().anyMatch(move -> move.container().equals(container))
        || view.entry(container).filter(entry -> entry.status() != LedgerEntry.Status.GONE).isPresent();
  }
}
