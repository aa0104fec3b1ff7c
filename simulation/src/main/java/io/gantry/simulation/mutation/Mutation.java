package io.gantry.simulation.mutation;

import io.gantry.actors.migration.Rules;
import java.util.function.Function;

/**
 * One mistake.
 *
 * @param name for tables
 * @param sentence what is wrong
 * @param rules makes the wrong rules from the right ones
 */
public record Mutation(String name, String sentence, Function<Rules, Rules> rules) {
  /** Nothing is wrong. */
  public static final Mutation NONE = new Mutation("none", "The protocol as it is.", rules -> rules);
}
