package io.gantry.actors;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;

/**
 * What a node needs to know about itself. Every value has a setter of its own so that settings read from a file and settings
 * made in code are
 * the same thing.
 *
 * @param name unique in the cluster; letters, digits, dot, dash, underscore, at most 63 characters
 * @param bindAddress IP address for the actor system, and for pages unless the {@link PageLinks} choose another
 * @param port TCP port of the actor system; 0 lets the system choose
 * @param join {@code host} or {@code host:port} of nodes to join, in order of preference; empty to begin a cluster
 * @param stateDirectory ledger and containers' directories; exists and is writable
 * @param frozenSilenceMax longest silence of the destination that the source bears while the container is frozen and not released
 * @param outgoingMax most moves out of this node at a time; at least 1
 * @param incomingMax most moves into this node at a time; at least 1
 * @param watchInterval how often a container is looked at to see whether it still lives
 * @param fencing what is done by itself about a host that cannot be reached and that a container waits for
 * @param overrides wins over everything in {@code reference.conf}; the place for TLS ({@code akka.remote.artery.transport =
 *     tls-tcp}) and log levels
 */
public record NodeSettings(
    String name,
    String bindAddress,
    int port,
    List<String> join,
    Path stateDirectory,
    Duration frozenSilenceMax,
    int outgoingMax,
    int incomingMax,
    Duration watchInterval,
    Fencing fencing,
    Config overrides) {
  /** TCP port of a node's actor system unless told otherwise. */
  public static final int PORT_DEFAULT = 7750;

  public NodeSettings {
    join = List.copyOf(join);
    Objects.requireNonNull(stateDirectory);
    Objects.requireNonNull(fencing);
    Objects.requireNonNull(overrides);
    if (!Names.isValid(name)) {
      throw new IllegalArgumentException("The node name '" + name + "' " + Names.RULE);
    }
    if (port < 0 || port > 65535) {
      throw new IllegalArgumentException("The port must be 0 to 65535, not " + port + ".");
    }
    if (outgoingMax < 1 || incomingMax < 1) {
      throw new IllegalArgumentException("A node must allow at least one move out and one in, not " + outgoingMax + " and "
          + incomingMax + ".");
    }
  }

  /** A node on the usual port that begins a cluster, with at most 4 moves each way at a time. */
  public static NodeSettings of(String name, String bindAddress, Path stateDirectory) {
    return new NodeSettings(
        name, bindAddress, PORT_DEFAULT, List.of(), stateDirectory, Duration.ofMillis(800), 4, 4, Duration.ofMillis(500),
            Fencing.OFF, ConfigFactory.empty());
  }

  public NodeSettings withPort(int tcpPort) {
    return new NodeSettings(
        name, bindAddress, tcpPort, join, stateDirectory, frozenSilenceMax, outgoingMax, incomingMax, watchInterval,
            fencing, overrides);
  }

  public NodeSettings withJoin(List<String> addresses) {
    return new NodeSettings(
        name, bindAddress, port, addresses, stateDirectory, frozenSilenceMax, outgoingMax, incomingMax, watchInterval,
            fencing, overrides);
  }

  public NodeSettings withFrozenSilenceMax(Duration silence) {
    return new NodeSettings(name, bindAddress, port, join, stateDirectory, silence, outgoingMax, incomingMax, watchInterval,
        fencing, overrides);
  }

  public NodeSettings withMovesMax(int out, int in) {
    return new NodeSettings(name, bindAddress, port, join, stateDirectory, frozenSilenceMax, out, in, watchInterval,
        fencing, overrides);
  }

  public NodeSettings withWatchInterval(Duration interval) {
    return new NodeSettings(name, bindAddress, port, join, stateDirectory, frozenSilenceMax, outgoingMax, incomingMax,
        interval, fencing, overrides);
  }

  public NodeSettings withOverrides(Config config) {
    return new NodeSettings(name, bindAddress, port, join, stateDirectory, frozenSilenceMax, outgoingMax, incomingMax,
        watchInterval, fencing, config);
  }

  public NodeSettings withFencing(Fencing how) {
    return new NodeSettings(name, bindAddress, port, join, stateDirectory, frozenSilenceMax, outgoingMax, incomingMax,
        watchInterval, how, overrides);
  }
}
