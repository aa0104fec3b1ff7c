package io.gantry.actors.migration;

import io.gantry.actors.migration.SourceTransition.Event;
import io.gantry.actors.migration.SourceTransition.Phase;
import io.gantry.actors.migration.SourceTransition.Step;
import io.gantry.actors.migration.SourceTransition.Terms;

/** What the source of one move decides by: {@link SourceTransition}, or something around it that watches or disturbs. */
public interface SourceRules {
  /** A new move. */
  Step begin();

  /** A restarted agent has found RELEASED in its ledger. */
  Step recover(Terms terms, String digest);

  /** What follows from an event. */
  Step transition(Phase phase, Event event);
}
