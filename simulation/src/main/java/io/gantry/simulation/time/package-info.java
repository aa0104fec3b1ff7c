/**
 * Virtual time: one queue, one thread, and a whole actor system on it. What may come in: another way in which Akka gets at
 * threads or
 * clocks. What must not: hosts, containers, anything of the protocol.
 */
package io.gantry.simulation.time;
