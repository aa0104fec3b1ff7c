/**
 * What goes wrong, and when: kinds of faults, plans drawn from a seed, and the record of which fault has struck in which phase of
 * a
 * move. What may come in: another kind of fault. What must not: how it is done to a host or a link.
 */
package io.gantry.simulation.fault;
