/**
 * What is on a host: containers, the engine that handles them, directories, a disk with the ledger on it; and the {@link
 * io.gantry.simulation.host.Truth} that knows what is really there on all of them and judges it. What may come in: another thing
 * of a
 * host that can fail. What must not: anything of the protocol; it is not modelled here a second time.
 */
package io.gantry.simulation.host;
