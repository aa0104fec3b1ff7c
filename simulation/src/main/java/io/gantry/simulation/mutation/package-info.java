/**
 * Known mistakes that the protocol could make, put around the real functions, to see that the simulation sees them. What may come
 * in: another
 * mistake. What must not: anything that a production node could load.
 */
package io.gantry.simulation.mutation;
