/**
 * What hosts say to each other: plain records that carry the migration's id and the sender, never an {@code ActorRef}. What
 * may come in: a record of
 * {@link io.gantry.actors.protocol.PeerMessage}. What must not: behaviour.
 */
package io.gantry.actors.protocol;
