/**
 * One move. {@link io.gantry.actors.migration.SourceTransition} and {@link io.gantry.actors.migration.DestinationTransition}
 * decide, as pure functions;
 * {@link io.gantry.actors.migration.OutgoingMigration} and {@link io.gantry.actors.migration.IncomingMigration} are their
 * shells, which do what was decided and
 * report what came of it. What must not come in: a decision in a shell, an effect in a transition.
 */
package io.gantry.actors.migration;
