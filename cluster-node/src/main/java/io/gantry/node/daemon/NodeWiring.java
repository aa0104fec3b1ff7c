package io.gantry.node.daemon;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.actors.AeronPageLinks;
import io.gantry.actors.ContainerDirectories;
import io.gantry.actors.GantryNodeSystem;
import io.gantry.actors.NodeSettings;
import io.gantry.actors.NodeStartException;
import io.gantry.actors.PageLinks;
import io.gantry.actors.ledger.LedgerException;
import io.gantry.checkpoint.AgentPriority;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.Engine;
import io.gantry.checkpoint.LiveEngine;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.control.RequestHandler;
import io.gantry.transport.PageTransport;
import io.gantry.transport.TransportException;
import io.gantry.transport.TransportOptions;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What a node is made of: engine, page streams and actors, put together here and nowhere else. Closing it leaves the containers running. */
final class NodeWiring implements AutoCloseable {
  /** After this no further move of the rehearsal begins; the code of the pause is compiled by then. */
  private static final Duration REHEARSAL_MAX = Duration.ofSeconds(4);

  private static final Logger LOG = LoggerFactory.getLogger(NodeWiring.class);

  private final Deque<AutoCloseable> parts = new ArrayDeque<>();
  private final NodeRequests requests;
  private final Optional<Rehearsal.Result> rehearsal;

  /**
   * Starts everything, and rehearses.
   *
   * @throws CommandException with a sentence; nothing is left then
   */
  static NodeWiring start(NodeConfig config, StateDirectory state) {
    try {
      return new NodeWiring(config, state);
    } catch (TransportException | LedgerException | NodeStartException failure) {
      throw new CommandException(ExitCode.FAILED, failure.getMessage(), failure);
    }
  }

  private NodeWiring(NodeConfig config, StateDirectory state) {
    try {
      LiveEngine engine =
          keep(
              new LiveEngine(
                  CgroupName.of(config.name(), config.stateDirectory()), config.hostPolicy(), config.runtimeRoot(), config.networkPolicy(),
                  config.storagePolicy()));
      ObjectNode facts = HostReport.json(engine.hostFacts());
      HostReport.requireAble(engine.hostFacts());
      takePrecedence();
      PageLinks links = keep(new AeronPageLinks(PageTransport.open(transport(config)), isProtected(config)));
      GantryNodeSystem node = keep(GantryNodeSystem.start(settings(config), engine, links));
      rehearsal = config.rehearse() ? Optional.of(rehearse(config, links, state.path().resolve("rehearsal"), node)) : Optional.empty();
      rehearsal.ifPresent(result -> facts.set("rehearsal", result.json()));
      requests = new NodeRequests(node, facts, config.name(), (name, pid) -> engine.holdings(name, pid, ContainerDirectories.of(state.path(), name)));
    } catch (RuntimeException failure) {
      close();
      throw failure;
    }
  }

  private static void takePrecedence() {
    try {
      AgentPriority.raise();
    } catch (CheckpointException failure) {
      LOG.warn("Pauses may be longer on a busy host: {}", failure.getMessage());
    }
  }

  private <T extends AutoCloseable> T keep(T part) {
    parts.push(part);
    return part;
  }

  private static TransportOptions transport(NodeConfig config) {
    try {
      return TransportOptions.on(InetAddress.getByName(config.bind())).withPort(config.pagesPort());
    } catch (UnknownHostException unknown) {
      throw new CommandException(ExitCode.USAGE, "The address " + config.bind() + " is not known: " + unknown.getMessage(), unknown);
    }
  }

  /** Keys of page streams travel over the actors' link, so pages are only sealed when that link is encrypted. */
  private static boolean isProtected(NodeConfig config) {
    String key = "akka.remote.artery.transport";
    return config.overrides().hasPath(key) && config.overrides().getString(key).equals("tls-tcp");
  }

  private static NodeSettings settings(NodeConfig config) {
    return NodeSettings.of(config.name(), config.bind(), config.stateDirectory())
        .withPort(config.port())
        .withJoin(config.join())
        .withMovesMax(config.movesOutMax(), config.movesInMax())
        .withFencing(config.fencing())
        .withOverrides(config.overrides());
  }

  private static Rehearsal.Result rehearse(NodeConfig config, PageLinks links, Path directory, GantryNodeSystem node) {
    Rehearsal.Result result;
    try (var rehearsal = new Rehearsal(config, links, directory, REHEARSAL_MAX)) {
      result = rehearsal.run();
    }
    if (result.passed()) {
      LOG.info("Rehearsed {} moves: the pause of the first was {} ms, of the last {} ms.", result.moves(), result.firstPauseMs(), result.lastPauseMs());
      Rehearsal.Shape shape = result.shape();
      node.learnPause(shape.processes(), shape.threads(), shape.descriptors(), Duration.ofNanos((long) (result.fixedMs() * 1e6)));
    } else {
      LOG.error("The rehearsal failed: {} Moves from or to this node will probably fail too.", result.sentence());
    }
    return result;
  }

  /** Answers requests over the control socket. */
  RequestHandler requests() {
    return requests;
  }

  /** Ends every container of the named node, which is this one. */
  void stopContainers(String here) {
    requests.stopAll(here);
  }

  /** How the rehearsal went, when there was one. */
  Optional<Rehearsal.Result> rehearsal() {
    return rehearsal;
  }

  /** In the opposite order of the start. */
  @Override
  public void close() {
    while (!parts.isEmpty()) {
      try {
        parts.pop().close();
      } catch (Exception failure) {
        LOG.warn("A part of the node did not stop cleanly", failure);
      }
    }
  }
}
