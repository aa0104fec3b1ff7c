package io.gantry.simulation;

import akka.actor.typed.ActorRef;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.link.Inbound;
import io.gantry.actors.link.Links;
import io.gantry.actors.link.LinksFactory;
import io.gantry.actors.link.Peer;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.actors.protocol.ProtocolVersion;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;

/**
 * The links between the hosts and the word about who is there. Links can be cut, noticed or not, and messages lost one by one.
 * Any thread.
 */
public final class StandInNetwork {
  private final Map<String, ActorRef<Inbound>> nodes = new TreeMap<>();
  private final Map<String, Long> incarnations = new TreeMap<>();
  private final Set<Set<String>> cuts = new HashSet<>();
  private final UnaryOperator<PeerMessage> wire;
  private ProtocolVersion version = ProtocolVersion.CURRENT;
  private Predicate<PeerMessage> lost = _ -> false;
  private boolean doubled;

  /** @param wire what a message goes through on its way, such as being serialized and read again */
  public StandInNetwork(UnaryOperator<PeerMessage> wire) {
    this.wire = wire;
  }

  /** For the node of that name; a second call is its restart. */
  public LinksFactory links(String name) {
    return (_, node) -> {
      join(name, node);
      return new StandInLinks(name);
    };
  }

  private synchronized void join(String name, ActorRef<Inbound> node) {
    nodes.put(name, node);
    incarnations.merge(name, 1L, Long::sum);
    tellPeers();
  }

  /** The node is gone; the others notice. */
  public synchronized void leave(String name) {
    nodes.remove(name);
    tellPeers();
  }

  /** The node is gone; nobody notices. */
  public synchronized void vanish(String name) {
    nodes.remove(name);
  }

  /** From now on nothing comes through between the two. @param noticed whether they are told */
  public synchronized void cut(String one, String other, boolean noticed) {
    cuts.add(Set.of(one, other));
    if (noticed) {
      tellPeers();
    }
  }

  /** Everything comes through again. */
  public synchronized void heal() {
    cuts.clear();
    lost = _ -> false;
    tellPeers();
  }

  /** Messages that are lost from now on. */
  public synchronized void lose(Predicate<PeerMessage> which) {
    lost = which;
  }

  /** From now on every message comes twice. */
  public synchronized void doubleAll() {
    doubled = true;
  }

  /** All peers claim to speak that. */
  public synchronized void speak(ProtocolVersion other) {
    version = other;
    tellPeers();
  }

  synchronized boolean isOpen(String one, String other) {
    return nodes.containsKey(one) && nodes.containsKey(other) && !cuts.contains(Set.of(one, other));
  }

  private void tellPeers() {
    nodes.forEach(
        (name, node) -> {
          var peers = new ArrayList<Peer>();
          for (var other : nodes.keySet()) {
            if (!other.equals(name)) {
              peers.add(new Peer(other, other + ":7750", incarnations.get(other), !cuts.contains(Set.of(name, other)), version));
            }
          }
          node.tell(new Inbound.PeersChanged(List.copyOf(peers)));
        });
  }

  private synchronized void deliver(String from, String to, PeerMessage message) {
    if (isOpen(from, to) && !lost.test(message)) {
      var arrived = wire.apply(message);
      nodes.get(to).tell(new Inbound.Delivered(arrived));
      if (doubled) {
        nodes.get(to).tell(new Inbound.Delivered(arrived));
      }
    }
  }

  private synchronized void command(String from, String to, NodeCommand command) {
    if (isOpen(from, to)) {
      nodes.get(to).tell(new Inbound.Commanded(command, true));
    }
  }

  private final class StandInLinks implements Links {
    private final String self;

    StandInLinks(String self) {
      this.self = self;
    }

    @Override
    public void send(String peer, PeerMessage message) {
      deliver(self, peer, message);
    }

    @Override
    public void forward(String peer, NodeCommand command) {
      command(self, peer, command);
    }
  }
}
