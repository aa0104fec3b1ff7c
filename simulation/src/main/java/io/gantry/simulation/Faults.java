package io.gantry.simulation;

import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What is to go wrong, and when: an action for a point, such as {@code "b arrival.complete"}, taken once when the point is
 * next reached. A point has the
 * name of the host and of the operation. Any thread.
 */
public final class Faults {
  /** What happens at a point. */
  @FunctionalInterface
  public interface Fault {
    /** Throws to make the operation fail; returns to let it go on. */
    void strike();
  }

  private final Map<String, Fault> planned = new ConcurrentHashMap<>();

  /** The next time {@code point} is reached, {@code fault} strikes. */
  public void at(String point, Fault fault) {
    planned.put(point, fault);
  }

  /** Points that were planned and have not been reached. */
  public Set<String> pending() {
    return Set.copyOf(planned.keySet());
  }

  void reach(String host, String operation) {
    var fault = planned.remove(host + " " + operation);
    if (fault != null) {
      fault.strike();
    }
  }
}
