package io.gantry.actors.migration;

import io.gantry.actors.migration.DestinationTransition.Event;
import io.gantry.actors.migration.DestinationTransition.Phase;
import io.gantry.actors.migration.DestinationTransition.Step;

/**
 * What the destination of one move decides by: {@link DestinationTransition}, or something around it that watches or disturbs.
 */
public interface DestinationRules {
  /** An offer has come. */
  Step begin();

  /** A restarted agent has found HELD in its ledger, and the frozen copy. */
  Step recover(String digest);

  /** What follows from an event. */
  Step transition(Phase phase, Event event);
}
