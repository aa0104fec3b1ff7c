/**
 * Who the peers are and how to reach them: {@link io.gantry.actors.link.Links} and {@link io.gantry.actors.link.Membership},
 * over Akka Cluster, or
 * injected by a simulation. What must not come in: the meaning of a message.
 */
package io.gantry.actors.link;
