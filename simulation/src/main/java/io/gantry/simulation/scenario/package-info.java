/**
 * Experiments: what moves of given containers over a given network cost, as distributions. Written in Java with {@link
 * io.gantry.simulation.scenario.Scenario}, or in a few lines of text. What may come in: another figure or another way to show it.
 * What must
 * not: faults and invariants, which are looked after by {@code run}.
 */
package io.gantry.simulation.scenario;
