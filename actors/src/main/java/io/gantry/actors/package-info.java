/**
 * Who decides: one actor per host, container, process and migration, and the protocol between hosts.
 *
 * <p>What comes in: commands ({@link io.gantry.actors.NodeCommand}), messages from other hosts
 * ({@link io.gantry.actors.protocol.PeerMessage}), news of the cluster's membership. What must never come in: {@code /proc},
 * ptrace, native
 * calls, sockets. The kernel is touched only through {@code io.gantry.checkpoint}, the network only through Akka and through
 * {@link io.gantry.actors.PageLinks}.
 *
 * <p>The rooms: {@code protocol} (what hosts say to each other), {@code ledger} (what a host must not forget), {@code
 * migration} (one move: the pure
 * transition functions and their shells), {@code link} (who the peers are and how to reach them). This package holds the
 * node: the guardian, its
 * containers and the commands other services use. Nothing here reads a wall clock or draws a random number, so that a
 * simulation can replay it.
 */
package io.gantry.actors;
