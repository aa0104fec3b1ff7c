/** Who decides: one actor per host, container, process and migration, and the protocol between hosts. Touches the kernel and the network only through the interfaces of checkpoint-native and transport. */
package io.gantry.actors;
