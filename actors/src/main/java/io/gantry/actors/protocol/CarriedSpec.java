package io.gantry.actors.protocol;

import io.gantry.checkpoint.OciSpec;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What a container was started with; travels with it so that every node can say what runs there.
 *
 * @param command program and arguments
 * @param environment the whole environment
 * @param workingDirectory absolute
 * @param oci how a runtime makes it; {@code command} is then for people, and the rest means nothing
 * @param network as {@code NetworkSpec.parse} reads it; empty when it shares the node's
 * @param volumes absolute paths of directories whose files belong to it
 */
public record CarriedSpec(
    List<String> command, Map<String, String> environment, String workingDirectory, Optional<OciSpec> oci, String network, List<String> volumes) {
  /** Without volumes. */
  public CarriedSpec(List<String> command, Map<String, String> environment, String workingDirectory, Optional<OciSpec> oci, String network) {
    this(command, environment, workingDirectory, oci, network, List.of());
  }

  /** In the node's network. */
  public CarriedSpec(List<String> command, Map<String, String> environment, String workingDirectory, Optional<OciSpec> oci) {
    this(command, environment, workingDirectory, oci, "");
  }

  /** One that Gantry itself makes, in the node's network. */
  public CarriedSpec(List<String> command, Map<String, String> environment, String workingDirectory) {
    this(command, environment, workingDirectory, Optional.empty());
  }

  public CarriedSpec {
    command = List.copyOf(command);
    environment = Map.copyOf(environment);
    // Nodes of older versions do not send any.
    volumes = volumes == null ? List.of() : List.copyOf(volumes);
  }
}
