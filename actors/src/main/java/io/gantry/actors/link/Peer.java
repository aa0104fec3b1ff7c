package io.gantry.actors.link;

import io.gantry.actors.protocol.ProtocolVersion;

/**
 * Another node of the cluster.
 *
 * @param name unique in the cluster
 * @param address host and port of its actor system
 * @param incarnation another number for each start of its actor system
 * @param reachable whether it can be reached now
 * @param version what it speaks
 */
public record Peer(String name, String address, long incarnation, boolean reachable, ProtocolVersion version) {}
