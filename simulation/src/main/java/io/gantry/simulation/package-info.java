/**
 * Stand-ins for engines, page links, ledgers and links between hosts, so that the real actors run without processes, and
 * faults can be put between any two of
 * their effects. What may come in: another thing outside the actors that can fail. What must not: anything of the protocol;
 * it is not modelled here a second time.
 */
package io.gantry.simulation;
