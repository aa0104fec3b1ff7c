/**
 * Clusters of real nodes on virtual time: one run of one seed with its users, its faults and its verdict; many seeds; and what is
 * shown
 * of a run that failed. What may come in: another question to ask of a run. What must not: stand-ins, which are in {@code host}
 * and
 * {@code network}.
 */
package io.gantry.simulation.run;
