package io.gantry.actors.protocol;

import java.util.List;
import java.util.Map;

/**
 * What a container was started with; travels with it so that every node can say what runs there.
 *
 * @param command program and arguments
 * @param environment the whole environment
 * @param workingDirectory absolute
 */
public record CarriedSpec(List<String> command, Map<String, String> environment, String workingDirectory) {
  public CarriedSpec {
    command = List.copyOf(command);
    environment = Map.copyOf(environment);
  }
}
