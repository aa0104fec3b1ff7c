package io.gantry.actors;

import com.fasterxml.jackson.annotation.JsonProperty;

/**
 * A node as this node sees it.
 *
 * @param name unique in the cluster
 * @param address host and port of its actor system
 * @param self whether it is the node that answers
 * @param reachable whether it can be reached now
 * @param containers how many containers it owns
 * @param kernel {@code uname -r}, or empty when not known yet
 * @param protocol version of the protocol between nodes, as {@code 1.0}
 * @param note a sentence when something is in the way of moves to it; or empty
 */
public record NodeInfo(
    @JsonProperty("name") String name,
    @JsonProperty("address") String address,
    @JsonProperty("self") boolean self,
    @JsonProperty("reachable") boolean reachable,
    @JsonProperty("containers") int containers,
    @JsonProperty("kernel") String kernel,
    @JsonProperty("protocol") String protocol,
    @JsonProperty("note") String note) {}
