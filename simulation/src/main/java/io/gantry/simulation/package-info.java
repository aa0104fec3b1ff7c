/**
 * Whole clusters in one thread on virtual time. The rooms: {@code time} makes an actor system stand on a queue, {@code host} and
 * {@code
 * network} are the stand-ins for everything outside the actors, {@code fault} is what goes wrong, {@code run} is one seed, many
 * seeds, and what is
 * shown of them, {@code mutation} are known mistakes, {@code scenario} are experiments. What may come in: another thing outside
 * the
 * actors that can fail, another question. What must not: anything of the protocol; it is not modelled here a second time.
 */
package io.gantry.simulation;
