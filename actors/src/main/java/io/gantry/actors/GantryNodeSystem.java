package io.gantry.actors;

import akka.Done;
import akka.actor.CoordinatedShutdown;
import akka.actor.typed.ActorRef;
import akka.actor.typed.ActorSystem;
import akka.actor.typed.DispatcherSelector;
import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.gantry.actors.ledger.FileLedger;
import io.gantry.actors.ledger.Ledger;
import io.gantry.actors.link.ClusterLinks;
import io.gantry.actors.link.Peer;
import io.gantry.actors.migration.PauseModel;
import io.gantry.actors.migration.Rules;
import io.gantry.actors.protocol.ProtocolVersion;
import io.gantry.checkpoint.Engine;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A node's actors in an actor system of their own that is a member of a real cluster. Containers do not depend on it: when it
 * is closed, or dies, they run on, and the next
 * one on the same state directory takes them up again.
 *
 * <p>A node that the cluster has downed (it was in the minority of a partition) starts its actor system anew by itself and
 * joins again; {@link #system()} and
 * {@link #commands()} then give the new one's. Any thread.
 */
public final class GantryNodeSystem implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(GantryNodeSystem.class);
  /** Setting with the name of the actor system: systems of different names never join one cluster. */
  public static final String SYSTEM_NAME = "gantry.system-name";

  private static final Duration READY_MAX = Duration.ofSeconds(20);
  private static final Duration STOP_MAX = Duration.ofSeconds(20);
  private static final Duration RESTART_AFTER = Duration.ofSeconds(1);

  private final NodeSettings settings;
  private final Engine engine;
  private final PageLinks pageLinks;
  private final KnownPeers knownPeers;
  private final CompletableFuture<Void> closed = new CompletableFuture<>();
  private volatile Life life;
  private boolean isClosing;

  /** One actor system; a downed node has several, one after the other. */
  private record Life(ActorSystem<NodeGuardian.Message> system, ActorRef<NodeCommand> commands) {}

  private GantryNodeSystem(NodeSettings settings, Engine engine, PageLinks pageLinks) {
    this.settings = settings;
    this.engine = engine;
    this.pageLinks = pageLinks;
    this.knownPeers = new KnownPeers(settings.stateDirectory());
  }

  /**
   * Opens the ledger, starts the actors, takes up the containers that the ledger names, and begins to join the cluster.
   * Returns when commands are taken, which does
   * not wait for the cluster.
   *
   * @param engine stays the caller's, who closes it after this
   * @param pageLinks stays the caller's, who closes it after this
   * @throws io.gantry.actors.ledger.LedgerException when the state directory is in use, damaged, or cannot be written
   * @throws NodeStartException when the address cannot be bound
   */
  public static GantryNodeSystem start(NodeSettings settings, Engine engine, PageLinks pageLinks) {
    var node = new GantryNodeSystem(settings, engine, pageLinks);
    node.life = node.begin();
    return node;
  }

  /** The actor system, for asking and for actors of the caller's own. */
  public ActorSystem<?> system() {
    return life.system();
  }

  /** Takes the commands of this node. */
  public ActorRef<NodeCommand> commands() {
    return life.commands();
  }

  /**
   * {@code host:port} at which this node's actor system is reached, with the port that the system chose when the settings say
   * 0.
   */
  public String address() {
    var address = akka.cluster.typed.Cluster.get(life.system()).selfMember().address();
    return address.getHost().get() + ":" + address.getPort().get();
  }

  /**
   * Tells the node what the pause of a throwaway container has cost without its last pages, so that the first real prediction
   * is good.
   *
   * @param processes of that container; @param threads of all; @param descriptors of all
   * @param pause freeze to resume, less the time for pages
   */
  public void learnPause(int processes, int threads, int descriptors, Duration pause) {
    life.system().tell(new NodeGuardian.Learn(new PauseModel.Shape(processes, threads, descriptors), pause.toNanos()));
  }

  /** Completes when the node has been closed. */
  public CompletableFuture<Void> whenClosed() {
    return closed.copy();
  }

  /**
   * Leaves the cluster and stops the actors. Moves before their commit are undone, containers run on. Blocks until done;
   * idempotent.
   */
  @Override
  public void close() {
    Life last;
    synchronized (this) {
      isClosing = true;
      last = life;
    }
    CoordinatedShutdown.get(last.system()).runAll(CoordinatedShutdown.actorSystemTerminateReason());
    try {
      last.system().getWhenTerminated().toCompletableFuture().get(STOP_MAX.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (ExecutionException | TimeoutException e) {
      LOG.warn("The actors of node {} did not stop in time: {}", settings.name(), e.toString());
    }
    closed.complete(null);
  }

  private Life begin() {
    var ledger = FileLedger.open(settings.stateDirectory());
    var ready = new CompletableFuture<ActorRef<NodeCommand>>();
    ActorSystem<NodeGuardian.Message> system = null;
    try {
      var config = config();
      var guardian =
          akka.actor.typed.javadsl.Behaviors.<NodeGuardian.Message>setup(
              context -> NodeGuardian.create(settings, world(ledger, blocking(context.getSystem())), ready::complete));
      system = ActorSystem.create(guardian, systemName(), config);
      var commands = ready.get(READY_MAX.toMillis(), TimeUnit.MILLISECONDS);
      system.getWhenTerminated().thenAccept(this::onTerminated);
      return new Life(system, commands);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      abandon(system, ledger);
      throw new NodeStartException("The start of node " + settings.name() + " was interrupted.", e);
    } catch (ExecutionException | TimeoutException e) {
      abandon(system, ledger);
      throw new NodeStartException(
          "The actors of node %s were not ready within %d s.".formatted(settings.name(), READY_MAX.toSeconds()), e);
    } catch (RuntimeException e) {
      abandon(system, ledger);
      throw new NodeStartException(
          "The actor system of node %s could not be started on %s:%d: %s; choose another address or port, or stop what uses it."
              .formatted(settings.name(), settings.bindAddress(), settings.port(), rootSentence(e)),
          e);
    }
  }

  private static void abandon(ActorSystem<?> system, Ledger ledger) {
    if (system != null) {
      system.terminate();
    }
    ledger.close();
  }

  private static String rootSentence(Throwable failure) {
    var cause = failure;
    while (cause.getCause() != null) {
      cause = cause.getCause();
    }
    return cause.getMessage() == null ? cause.getClass().getSimpleName() : cause.getMessage();
  }

  private World world(Ledger ledger, Executor blocking) {
    return new World(
        engine, pageLinks, ledger, ContainerDirectories.in(settings.stateDirectory()),
            ClusterLinks.factory(peers -> remember(peers, blocking)), BlockingCalls.on(blocking), BlockingCalls.here(),
            System::nanoTime, Rules.PROTOCOL);
  }

  private void remember(List<Peer> peers, Executor blocking) {
    blocking.execute(
        () -> {
          synchronized (knownPeers) {
            knownPeers.remember(peers);
          }
        });
  }

  private static Executor blocking(ActorSystem<?> system) {
    return system.dispatchers().lookup(DispatcherSelector.fromConfig("gantry.engine-dispatcher"));
  }

  /**
   * Nobody asked for it: the cluster has downed this node, or the ledger has failed. Both are got over by reading the ledger
   * again.
   */
  private void onTerminated(Done done) {
    synchronized (this) {
      if (isClosing) {
        return;
      }
    }
    LOG.warn("The actor system of node {} has ended; it is started anew in {} ms", settings.name(), RESTART_AFTER.toMillis());
    CompletableFuture.delayedExecutor(RESTART_AFTER.toMillis(), TimeUnit.MILLISECONDS, task -> Thread.ofPlatform()
        .name("gantry-restart").start(task))
        .execute(this::restart);
  }

  private void restart() {
    synchronized (this) {
      if (isClosing) {
        return;
      }
      try {
        life = begin();
      } catch (RuntimeException e) {
        LOG.error("Node {} could not be started anew: {}", settings.name(), e.getMessage());
        onTerminated(Done.done());
      }
    }
  }

  private Config config() {
    Map<String, Object> values = new LinkedHashMap<>();
    values.put("akka.remote.artery.canonical.hostname", settings.bindAddress());
    values.put("akka.remote.artery.canonical.port", settings.port());
    values.put("akka.cluster.roles", List.of(ClusterLinks.roles(settings.name(), ProtocolVersion.CURRENT)));
    values.put("akka.cluster.seed-nodes", seeds());
    return ConfigFactory.load(
        settings.overrides().withFallback(ConfigFactory.parseMap(values))
            .withFallback(ConfigFactory.parseResourcesAnySyntax("gantry-node")));
  }

  /**
   * A node that was told whom to join waits for one of them. One that was not asks those it knew last, and when none answers
   * begins a cluster: Akka lets
   * only the first of the list do that.
   */
  private List<String> seeds() {
    var known = knownPeers.addresses();
    var seeds = new ArrayList<String>();
    if (settings.join().isEmpty()) {
      if (settings.port() == 0) {
        return List.of(); // no address to be found under; the caller joins by itself
      }
      seeds.add(seed(settings.bindAddress() + ":" + settings.port()));
    }
    settings.join().forEach(address -> seeds.add(seed(address)));
    known.stream().map(this::seed).filter(address -> !seeds.contains(address)).forEach(seeds::add);
    return seeds;
  }

  private String systemName() {
    return settings.overrides().withFallback(ConfigFactory.defaultReference()).getString(SYSTEM_NAME);
  }

  private String seed(String address) {
    var hasPort = address.lastIndexOf(':') > address.lastIndexOf(']') && address.indexOf(':') == address.lastIndexOf(':')
        || address.contains("]:");
    return "akka://" + systemName() + "@" + (hasPort ? address : address + ":" + NodeSettings.PORT_DEFAULT);
  }
}
