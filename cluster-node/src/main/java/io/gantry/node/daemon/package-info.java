/**
 * What lives as long as the node: its configuration, its state directory, the wiring of engine, transport and actors, and what it
 * answers over the control socket. What must never come in: decisions about a migration.
 */
package io.gantry.node.daemon;
