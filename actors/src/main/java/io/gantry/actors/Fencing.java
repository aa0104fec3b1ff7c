package io.gantry.actors;

import java.time.Duration;
import java.util.List;

/**
 * How a node makes sure by itself that a host which it cannot reach is off, when a container waits for that host: with a
 * command, such as one that cuts its power.
 *
 * @param command program and arguments; in each word <code>{node}</code> is replaced by the name of the unreachable node and
 *     <code>{address}</code> by its address, when that is known. Empty: nothing is run
 * @param after how long a container must have waited for a host that cannot be reached before the command is run for it
 * @param deadline how long the command may take; it is killed then, which counts as a failure
 */
public record Fencing(List<String> command, Duration after, Duration deadline) {
  /** Nothing is run; a person decides. */
  public static final Fencing OFF = new Fencing(List.of(), Duration.ZERO, Duration.ofSeconds(60));

  public Fencing {
    command = List.copyOf(command);
    if (after.isNegative() || !deadline.isPositive()) {
      throw new IllegalArgumentException(
          "A fencing command is run after zero or more seconds and may take more than zero, not after %s for %s."
              .formatted(after, deadline));
    }
  }

  /** Whether there is a command. */
  public boolean isOn() {
    return !command.isEmpty();
  }

  /** The words of the command for one host. */
  List<String> words(String node, String address) {
    return command.stream().map(word -> word.replace("{node}", node).replace("{address}", address)).toList();
  }
}
