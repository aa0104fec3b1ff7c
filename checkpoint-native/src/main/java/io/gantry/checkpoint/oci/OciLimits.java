package io.gantry.checkpoint.oci;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.checkpoint.CheckpointException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * The limits that a container has now, which {@code runc update} may have changed since it was made from its {@code config.json}:
 * runc keeps them in its state
 * ({@code libcontainer/configs/cgroup_linux.go}) and takes them as {@code man 8 runc-update} says. Of crun nothing is known. Any thread.
 */
public final class OciLimits {
  private static final ObjectMapper JSON = new ObjectMapper();

  private OciLimits() {}

  /** As {@code runc update --resources} takes them; empty when they are not known. */
  public static String of(OciContainer container) {
    return of(container.runtime(), container.origin().id());
  }

  private static String of(OciRuntime runtime, String id) {
    if (!runtime.name().equals("runc")) {
      return "";
    }
    JsonNode state;
    try {
      state = JSON.readTree(Files.readAllBytes(runtime.stateOf(id).resolve("state.json"))).path("config").path("cgroups");
    } catch (IOException gone) {
      return "";
    }
    ObjectNode limits = JSON.createObjectNode();
    numbers(limits.putObject("memory"), state, "limit", "memory", "reservation", "memory_reservation", "swap", "memory_swap");
    ObjectNode cpu = limits.putObject("cpu");
    numbers(cpu, state, "shares", "cpu_shares", "quota", "cpu_quota", "period", "cpu_period");
    numbers(cpu, state, "realtimeRuntime", "cpu_rt_quota", "realtimePeriod", "cpu_rt_period");
    cpu.put("cpus", state.path("cpuset_cpus").asText("")).put("mems", state.path("cpuset_mems").asText(""));
    numbers(limits.putObject("pids"), state, "limit", "pids_limit");
    numbers(limits.putObject("blockIO"), state, "weight", "blkio_weight");
    return limits.toString();
  }

  /** @param pairs a name, and what runc's state calls that */
  private static void numbers(ObjectNode into, JsonNode state, String... pairs) {
    for (int i = 0; i < pairs.length; i += 2) {
      into.put(pairs[i], state.path(pairs[i + 1]).asLong());
    }
  }

  /**
   * Gives a container that was just created the limits of another. Nothing happens when it has them, or none are known.
   *
   * @param directory for a file of the moment
   */
  static void apply(OciRuntime runtime, String id, String limits, Path directory) {
    if (limits.isEmpty() || limits.equals(of(runtime, id))) {
      return;
    }
    var file = directory.resolve("runtime.limits");
    try {
      Files.writeString(file, limits);
      runtime.update(id, file);
      Files.delete(file);
    } catch (IOException e) {
      throw new CheckpointException("writing " + file + ": " + e.getMessage(), e);
    }
  }
}
