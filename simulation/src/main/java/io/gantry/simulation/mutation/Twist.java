package io.gantry.simulation.mutation;

import io.gantry.actors.migration.DestinationRules;
import io.gantry.actors.migration.DestinationTransition;
import io.gantry.actors.migration.Rules;
import io.gantry.actors.migration.SourceRules;
import io.gantry.actors.migration.SourceTransition;
import java.util.function.Function;

/** Puts something between the shell of a side of a move and the function that decides. */
final class Twist {
  /** What the source would do next if it made the mistake. */
  @FunctionalInterface
  interface OfSource {
    /** @param right the rules as they should be */
    SourceTransition.Step step(SourceRules right, SourceTransition.Phase phase, SourceTransition.Event event);
  }

  /** What the destination would do next if it made the mistake. */
  @FunctionalInterface
  interface OfDestination {
    /** @param right the rules as they should be */
    DestinationTransition.Step step(DestinationRules right, DestinationTransition.Phase phase, DestinationTransition.Event event);
  }

  private Twist() {}

  static Function<Rules, Rules> source(OfSource mistake) {
    return rules ->
        new Rules(
            plan -> {
              var right = rules.source().apply(plan);
              return new SourceRules() {
                @Override
                public SourceTransition.Step begin() {
                  return right.begin();
                }

                @Override
                public SourceTransition.Step recover(SourceTransition.Terms terms, String digest) {
                  return right.recover(terms, digest);
                }

                @Override
                public SourceTransition.Step transition(SourceTransition.Phase phase, SourceTransition.Event event) {
                  return mistake.step(right, phase, event);
                }
              };
            },
            rules.destination());
  }

  static Function<Rules, Rules> destination(OfDestination mistake) {
    return rules ->
        new Rules(
            rules.source(),
            plan -> {
              var right = rules.destination().apply(plan);
              return new DestinationRules() {
                @Override
                public DestinationTransition.Step begin() {
                  return right.begin();
                }

                @Override
                public DestinationTransition.Step recover(String digest) {
                  return right.recover(digest);
                }

                @Override
                public DestinationTransition.Step transition(
                    DestinationTransition.Phase phase, DestinationTransition.Event event) {
                  return mistake.step(right, phase, event);
                }
              };
            });
  }
}
