package io.gantry.checkpoint;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A container to be born.
 *
 * @param name unique on the host; letters, digits, dot, dash, underscore, at most 63 characters
 * @param command program and arguments; the program is looked up in {@code environment}'s PATH when it has no slash
 * @param environment the whole environment
 * @param workingDirectory absolute
 * @param directory the host's own directory for this container, in which its console file is kept; exists
 * @param oci which one a runtime is to make, or has made; command, environment and working directory are then the bundle's affair
 * @param network the network it has to itself; without, it shares the node's, or has what its bundle says
 * @param volumes directories whose files belong to it and travel with it where they are not shared
 */
public record ContainerSpec(
    String name,
    List<String> command,
    Map<String, String> environment,
    Path workingDirectory,
    Path directory,
    Optional<OciSpec> oci,
    Optional<NetworkSpec> network,
    List<Path> volumes) {
  public ContainerSpec {
    volumes = List.copyOf(volumes);
    command = List.copyOf(command);
    environment = Map.copyOf(environment);
  }

  /** One whose runtime or bundle says what network it has. */
  public ContainerSpec(
      String name, List<String> command, Map<String, String> environment, Path workingDirectory, Path directory, Optional<OciSpec> oci) {
    this(name, command, environment, workingDirectory, directory, oci, Optional.empty(), List.of());
  }

  /** One that Gantry itself makes, in the node's network. */
  public ContainerSpec(String name, List<String> command, Map<String, String> environment, Path workingDirectory, Path directory) {
    this(name, command, environment, workingDirectory, directory, Optional.empty(), Optional.empty(), List.of());
  }
}
