package io.gantry.simulation.network;

import akka.actor.typed.ActorRef;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.link.Inbound;
import io.gantry.actors.link.Links;
import io.gantry.actors.link.LinksFactory;
import io.gantry.actors.link.Peer;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.actors.protocol.ProtocolVersion;
import io.gantry.simulation.host.Life;
import io.gantry.simulation.time.VirtualTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;

/**
 * The links between the hosts and the word about who is there, on virtual time. A link keeps the order of its messages unless it
 * is told
 * otherwise. One thread.
 */
public final class StandInNetwork {
  /** Who sees what happens to messages. */
  public interface Listener {
    Listener NOBODY = new Listener() {};

    default void delivered(String from, String to, PeerMessage message) {}

    default void lost(String from, String to, PeerMessage message) {}
  }

  /** One direction between two hosts, and what is wrong with it. */
  static final class Wire {
    boolean isCut;
    double lostShare;
    double doubledShare;
    double overtakenShare;
    int slowness = 1;
    long extraNs;
    int corruptions;
    private long lastArrivalNs;
  }

  private record Node(ActorRef<Inbound> inbound, Life life) {}

  private final VirtualTime time;
  private final NetworkModel model;
  private final SplittableRandom chance;
  private final Listener listener;
  private final UnaryOperator<PeerMessage> wire;
  private final Map<String, Node> nodes = new TreeMap<>();
  private final Map<String, Long> incarnations = new TreeMap<>();
  private final Map<String, Map<String, Wire>> wires = new HashMap<>();
  private ProtocolVersion version = ProtocolVersion.CURRENT;
  private Predicate<PeerMessage> lost = _ -> false;
  private boolean doublesAll;
  private VirtualTime.Due news;

  /**
   * @param chance for jitter and for what is lost
   * @param wire what a message goes through on its way, such as being serialized and read again
   */
  public StandInNetwork(
      VirtualTime time, NetworkModel model, SplittableRandom chance, Listener listener, UnaryOperator<PeerMessage> wire) {
    this.time = time;
    this.model = model;
    this.chance = chance;
    this.listener = listener;
    this.wire = wire;
  }

  NetworkModel model() {
    return model;
  }

  VirtualTime time() {
    return time;
  }

  // ── who is there ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** For one life of a node's agent. */
  public LinksFactory links(Life life) {
    return (_, inbound) -> {
      nodes.put(life.host(), new Node(inbound, life));
      incarnations.merge(life.host(), 1L, Long::sum);
      noticeAfter(model.noticeNs() / 10);
      return new Outgoing(life);
    };
  }

  /** The node's agent is gone; the others notice later. */
  public void vanish(String name) {
    nodes.remove(name);
    noticeAfter(model.noticeNs());
  }

  /** Everybody learns who is there, after a time. */
  public void noticeAfter(long ns) {
    if (news == null || !news.isPending()) {
      news = time.after(ns, this::tellPeers);
    } else if (news.atNs() > time.nowNs() + ns) {
      time.cancel(news);
      news = time.after(ns, this::tellPeers);
    }
  }

  /** Everybody learns now who is there. */
  public void tellPeers() {
    for (var node : nodes.entrySet()) {
      var peers = new ArrayList<Peer>(nodes.size());
      for (var other : incarnations.entrySet()) {
        if (!other.getKey().equals(node.getKey())) {
          peers.add(
              new Peer(other.getKey(), other.getKey() + ":7750", other.getValue(), isOpen(node.getKey(), other.getKey())
                  && isOpen(other.getKey(), node.getKey()), version));
        }
      }
      node.getValue().inbound().tell(new Inbound.PeersChanged(peers));
    }
  }

  /** All peers claim to speak that. */
  public void speak(ProtocolVersion other) {
    version = other;
    tellPeers();
  }

  // ── what is wrong ────────────────────────────────────────────────────────────────────────────────────────────────

  private Wire wire(String from, String to) {
    return wires.computeIfAbsent(from, _ -> new HashMap<>()).computeIfAbsent(to, _ -> new Wire());
  }

  /** From now on nothing comes through from one to the other. */
  public void cut(String from, String to) {
    wire(from, to).isCut = true;
    noticeAfter(model.noticeNs());
  }

  /** So many messages of this direction are lost, 0 to 1. */
  public void lose(String from, String to, double share) {
    wire(from, to).lostShare = share;
  }

  /** So many messages of this direction come twice, 0 to 1. */
  public void repeat(String from, String to, double share) {
    wire(from, to).doubledShare = share;
  }

  /** So many messages of this direction are overtaken by later ones, 0 to 1. */
  public void shuffle(String from, String to, double share) {
    wire(from, to).overtakenShare = share;
  }

  /** Messages of this direction take so much longer. */
  public void delay(String from, String to, long extraNs) {
    wire(from, to).extraNs = extraNs;
  }

  /** Streams and messages of this direction take so many times as long. */
  public void slow(String from, String to, int times) {
    wire(from, to).slowness = times;
  }

  /** The next page of this direction arrives changed. */
  public void corrupt(String from, String to) {
    wire(from, to).corruptions++;
  }

  /** Everything comes through again, at once and in order. */
  public void heal() {
    wires.clear();
    lost = _ -> false;
    noticeAfter(model.noticeNs() / 10);
  }

  /** Messages that are lost from now on, whichever way they go. */
  public void lose(Predicate<PeerMessage> which) {
    lost = which;
  }

  /** From now on every message comes twice. */
  public void doubleAll() {
    doublesAll = true;
  }

  /** Whether something sent now would arrive. */
  public boolean isOpen(String from, String to) {
    var on = wires.get(from);
    var link = on == null ? null : on.get(to);
    return nodes.containsKey(from) && nodes.containsKey(to) && (link == null || !link.isCut);
  }

  /** How long something takes from one to the other that usually takes {@code ns}. */
  long slowed(String from, String to, long ns) {
    return ns * wire(from, to).slowness;
  }

  /** Whether the next page of this direction is to be changed; the one who asks does it. */
  boolean takeCorruption(String from, String to) {
    var link = wire(from, to);
    if (link.corruptions == 0) {
      return false;
    }
    link.corruptions--;
    return true;
  }

  // ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private void send(String from, String to, PeerMessage message) {
    var link = wire(from, to);
    if (link.isCut || lost.test(message) || link.lostShare > 0 && chance.nextDouble() < link.lostShare) {
      listener.lost(from, to, message);
      return;
    }
    var arrived = wire.apply(message);
    post(link, from, to, arrived);
    if (doublesAll || link.doubledShare > 0 && chance.nextDouble() < link.doubledShare) {
      post(link, from, to, arrived);
    }
  }

  private void post(Wire link, String from, String to, PeerMessage message) {
    var jitter = model.jitterNs() == 0 ? 0 : chance.nextLong(model.jitterNs());
    var arrival = time.nowNs() + model.latencyNs() * link.slowness + jitter + link.extraNs;
    if (link.overtakenShare > 0 && chance.nextDouble() < link.overtakenShare) {
      arrival += 1 + chance.nextLong(20 * model.latencyNs() + 1_000_000);
    } else {
      arrival = Math.max(arrival, link.lastArrivalNs + 1);
      link.lastArrivalNs = arrival;
    }
    time.after(arrival - time.nowNs(), () -> arrive(from, to, message));
  }

  private void arrive(String from, String to, PeerMessage message) {
    var node = nodes.get(to);
    if (node == null || wire(from, to).isCut) {
      listener.lost(from, to, message);
      return;
    }
    listener.delivered(from, to, message);
    node.inbound().tell(new Inbound.Delivered(message));
  }

  private final class Outgoing implements Links {
    private final Life life;

    Outgoing(Life life) {
      this.life = life;
    }

    @Override
    public void send(String peer, PeerMessage message) {
      if (!life.isDead() && nodes.containsKey(peer)) {
        StandInNetwork.this.send(life.host(), peer, message);
      }
    }

    @Override
    public void forward(String peer, NodeCommand command) {
      if (!life.isDead() && isOpen(life.host(), peer)) {
        time.after(
            model.latencyNs(),
            () -> {
              if (isOpen(life.host(), peer)) {
                nodes.get(peer).inbound().tell(new Inbound.Commanded(command, true));
              }
            });
      }
    }
  }

  /** Names of the nodes whose agents live. */
  public List<String> present() {
    return List.copyOf(nodes.keySet());
  }
}
