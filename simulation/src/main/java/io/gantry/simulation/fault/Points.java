package io.gantry.simulation.fault;

import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What is to go wrong at a place that is known by name: an action for a point, such as {@code "b arrival.complete"}, taken once
 * when the point is next reached. A point has the name of the host and of the operation. For tests of one fault. Any thread.
 */
public final class Points {
  /** What happens at a point. */
  @FunctionalInterface
  public interface Action {
    /** Throws to make the operation fail; returns to let it go on. */
    void strike();
  }

  private final Map<String, Action> planned = new ConcurrentHashMap<>();

  /** The next time {@code point} is reached, {@code action} is taken. */
  public void at(String point, Action action) {
    planned.put(point, action);
  }

  /** Points that were planned and have not been reached. */
  public Set<String> pending() {
    return Set.copyOf(planned.keySet());
  }

  /** The place is reached. */
  public void reach(String host, String operation) {
    if (planned.isEmpty()) {
      return;
    }
    var action = planned.remove(host + " " + operation);
    if (action != null) {
      action.strike();
    }
  }
}
