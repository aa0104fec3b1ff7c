package io.gantry.simulation.mutation;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** All mistakes that are known. */
public final class Mutations {
  private Mutations() {}

  /** In a fixed order. */
  public static List<Mutation> all() {
    var all = new ArrayList<>(SourceMistakes.all());
    all.addAll(DestinationMistakes.all());
    return List.copyOf(all);
  }

  /** The one of that name. */
  public static Optional<Mutation> named(String name) {
    return all().stream().filter(mutation -> mutation.name().equals(name)).findFirst();
  }
}
