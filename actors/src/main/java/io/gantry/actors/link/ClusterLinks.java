package io.gantry.actors.link;

import akka.actor.Address;
import akka.actor.typed.ActorRef;
import akka.actor.typed.ActorRefResolver;
import akka.actor.typed.ActorSystem;
import akka.actor.typed.Behavior;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import akka.actor.typed.receptionist.Receptionist;
import akka.cluster.ClusterEvent;
import akka.cluster.Member;
import akka.cluster.MemberStatus;
import akka.cluster.UniqueAddress;
import akka.cluster.typed.Cluster;
import akka.cluster.typed.Subscribe;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.actors.protocol.ProtocolVersion;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Links over Akka Cluster. A node's name and the version it speaks are roles of its member, so that they are known before the
 * first message;
 * the actors of a peer are addressed by path and address alone, so that a restarted peer is reached without having been
 * looked up again.
 */
public final class ClusterLinks implements Links {
  private static final Logger LOG = LoggerFactory.getLogger(ClusterLinks.class);
  private static final String NAME_ROLE = "gantry-node-";
  private static final String VERSION_ROLE = "gantry-protocol-";

  /** Names of the guardian's children that peers address. */
  private static final String LINK = "link";

  private static final String COMMANDS = "commands";
  private static final String FORWARDED = "forwarded";

  private final ActorSystem<?> system;
  private final Consumer<List<Peer>> seen;
  private final Map<String, Remote> remotes = new ConcurrentHashMap<>();

  private record Remote(ActorRef<PeerMessage> link, ActorRef<NodeCommand> forwarded) {}

  private ClusterLinks(ActorSystem<?> system, Consumer<List<Peer>> seen) {
    this.system = system;
    this.seen = seen;
  }

  /** The roles by which the other nodes know a node. */
  public static String[] roles(String name, ProtocolVersion version) {
    return new String[] {NAME_ROLE + name, VERSION_ROLE + version};
  }

  /**
   * For the guardian of an actor system that has a cluster.
   *
   * @param seen learns of each change of the membership as well; must not block
   */
  public static LinksFactory factory(Consumer<List<Peer>> seen) {
    return (context, node) -> connect(context, node, seen);
  }

  private static Links connect(ActorContext<?> context, ActorRef<Inbound> node, Consumer<List<Peer>> seen) {
    var links = new ClusterLinks(context.getSystem(), seen);
    context.spawn(inbox(node), LINK);
    context.spawn(commands(node, true), FORWARDED);
    var commands = context.spawn(commands(node, false), COMMANDS);
    context.getSystem().receptionist().tell(Receptionist.register(NodeCommand.SERVICE_KEY, commands));
    context.spawn(links.watcher(node), "membership");
    return links;
  }

  @Override
  public void send(String peer, PeerMessage message) {
    var remote = remotes.get(peer);
    if (remote != null) {
      remote.link().tell(message);
    }
  }

  @Override
  public void forward(String peer, NodeCommand command) {
    var remote = remotes.get(peer);
    if (remote != null) {
      remote.forwarded().tell(command);
    }
  }

  private static Behavior<PeerMessage> inbox(ActorRef<Inbound> node) {
    return Behaviors.receiveMessage(
        message -> {
          node.tell(new Inbound.Delivered(message));
          return Behaviors.same();
        });
  }

  private static Behavior<NodeCommand> commands(ActorRef<Inbound> node, boolean forwarded) {
    return Behaviors.receiveMessage(
        command -> {
          node.tell(new Inbound.Commanded(command, forwarded));
          return Behaviors.same();
        });
  }

  /**
   * Keeps the membership itself, as events tell it: what {@code Cluster.state()} says is brought up to date by events as well, and may not have seen the one
   * that is being handled here.
   */
  private Behavior<ClusterEvent.ClusterDomainEvent> watcher(ActorRef<Inbound> node) {
    return Behaviors.setup(
        context -> {
          var members = new HashMap<UniqueAddress, Member>();
          var unreachable = new HashSet<UniqueAddress>();
          Cluster.get(system).subscriptions().tell(Subscribe.create(context.getSelf(), ClusterEvent.ClusterDomainEvent.class));
          return Behaviors.receiveMessage(
              event -> {
                switch (event) {
                  case ClusterEvent.MemberRemoved removed -> {
                    members.remove(removed.member().uniqueAddress());
                    unreachable.remove(removed.member().uniqueAddress());
                  }
                  case ClusterEvent.MemberEvent changed -> members.put(changed.member().uniqueAddress(), changed.member());
                  case ClusterEvent.UnreachableMember lost -> unreachable.add(lost.member().uniqueAddress());
                  case ClusterEvent.ReachableMember back -> unreachable.remove(back.member().uniqueAddress());
                  case ClusterEvent.ClusterDomainEvent _ -> {
                    return Behaviors.same();
                  }
                }
                tell(node, members.values(), unreachable);
                return Behaviors.same();
              });
        });
  }

  private void tell(ActorRef<Inbound> node, Collection<Member> members, Set<UniqueAddress> unreachable) {
    var self = Cluster.get(system).selfMember().uniqueAddress();
    var peers = new TreeMap<String, Peer>();
    var found = new TreeMap<String, Remote>();
    for (var member : members) {
      var name = role(member, NAME_ROLE);
      if (member.uniqueAddress().equals(self) || name.isEmpty() || !isPresent(member)) {
        continue;
      }
      var peer = new Peer(name.get(), member.address().hostPort(), member.uniqueAddress().longUid(),
          !unreachable.contains(member.uniqueAddress()), version(member));
      var other = peers.get(peer.name());
      if (other != null && other.reachable() && !peer.reachable()) {
        continue; // the previous life of a restarted node
      }
      if (other != null && other.reachable()) {
        LOG.warn("Two nodes call themselves {}: {} and {}; give one of them another name", peer.name(), other.address(),
            peer.address());
        continue;
      }
      peers.put(peer.name(), peer);
      found.put(peer.name(), new Remote(resolve(member.address(), LINK), resolve(member.address(), FORWARDED)));
    }
    remotes.keySet().retainAll(found.keySet());
    remotes.putAll(found);
    var all = new ArrayList<>(peers.values());
    seen.accept(all);
    node.tell(new Inbound.PeersChanged(all));
  }

  private static boolean isPresent(Member member) {
    return !member.status().equals(MemberStatus.removed()) && !member.status().equals(MemberStatus.down());
  }

  private <T> ActorRef<T> resolve(Address address, String actor) {
    return ActorRefResolver.get(system).resolveActorRef(address + "/user/" + actor);
  }

  private static Optional<String> role(Member member, String prefix) {
    return member.getRoles().stream().filter(role -> role.startsWith(prefix)).map(role -> role.substring(prefix.length()))
        .sorted().findFirst();
  }

  /** A member whose version does not read is of a version that this one does not know. */
  private static ProtocolVersion version(Member member) {
    var parts = role(member, VERSION_ROLE).orElse("0.0").split("\\.", 2);
    try {
      return new ProtocolVersion(Integer.parseInt(parts[0]), parts.length > 1 ? Integer.parseInt(parts[1]) : 0);
    } catch (NumberFormatException _) {
      return new ProtocolVersion(-1, 0);
    }
  }
}
