package io.gantry.checkpoint;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * A container to be born.
 *
 * @param name unique on the host; letters, digits, dot, dash, underscore, at most 63 characters
 * @param command program and arguments; the program is looked up in {@code environment}'s PATH when it has no slash
 * @param environment the whole environment
 * @param workingDirectory absolute
 * @param directory the host's own directory for this container, in which its console file is kept; exists
 */
public record ContainerSpec(
    String name, List<String> command, Map<String, String> environment, Path workingDirectory, Path directory) {
  public ContainerSpec {
    command = List.copyOf(command);
    environment = Map.copyOf(environment);
  }
}
