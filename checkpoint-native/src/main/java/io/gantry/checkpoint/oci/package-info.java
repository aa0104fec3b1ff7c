/**
 * Containers that an OCI runtime makes (runc, crun): what a bundle says, how the runtime is called, and what of a container is the runtime's own work at
 * the destination. In may come what is read from {@code config.json} and said to a runtime; never what happens to the processes inside, which is that
 * of any container. What is in a network namespace is {@code io.gantry.checkpoint.network}'s; here is only whose it is.
 */
package io.gantry.checkpoint.oci;
