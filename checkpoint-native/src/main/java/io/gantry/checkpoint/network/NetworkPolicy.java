package io.gantry.checkpoint.network;

import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/**
 * How this host connects containers that have a network namespace of their own.
 *
 * @param bridges the bridge here for one of another host; a name that is not in it means the bridge of the same name
 * @param hook program that connects the outer end of a container's devices to the network and takes it off again, in place of a
 *     bridge: called with {@code up} or {@code
 *     down}, the container's name and the process id of its first process, and with the state as JSON on its standard input
 */
public record NetworkPolicy(Map<String, String> bridges, Optional<Path> hook) {
  /** Bridges of the same name. */
  public static final NetworkPolicy DEFAULT = new NetworkPolicy(Map.of(), Optional.empty());

  public NetworkPolicy {
    bridges = Map.copyOf(bridges);
  }

  /** The bridge of this host for one of a source's. */
  public String bridge(String atSource) {
    return bridges.getOrDefault(atSource, atSource);
  }
}
