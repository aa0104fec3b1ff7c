/**
 * Network namespaces that containers have to themselves: making one, describing one, making it again, and connecting it to the
 * host's bridge or cutting it off. Whether a container
 * has one is seen from its first process, however it was born. Knows nothing of sockets, which are {@code resource}'s; netlink
 * is left to {@code ip(8)} and {@code nft(8)},
 * but for what has to be quick while the container stands still.
 */
package io.gantry.checkpoint.network;
