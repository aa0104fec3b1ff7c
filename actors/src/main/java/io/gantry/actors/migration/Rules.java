package io.gantry.actors.migration;

import java.util.function.Function;

/** By which functions the two sides of a move decide. */
public record Rules(
    Function<SourceTransition.Plan, SourceRules> source, Function<DestinationTransition.Plan, DestinationRules> destination) {
  /** The protocol. */
  public static final Rules PROTOCOL = new Rules(SourceTransition::new, DestinationTransition::new);
}
