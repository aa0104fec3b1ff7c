package io.gantry.checkpoint.oci;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.tracee.RuntimeCreation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntConsumer;

/**
 * A runtime's {@code create}. Its files in the container's directory are removed by {@link #close}.
 *
 * @param bundle what the runtime is given
 * @param directory the host's own directory for the container
 * @param output file that gets what the runtime and, until it is another, the container's first process write
 * @param newborn told of the container's first process before any hook of the bundle runs
 */
record OciCreation(OciRuntime runtime, OciOrigin origin, Path bundle, Path directory, Path output, IntConsumer newborn)
    implements RuntimeCreation, AutoCloseable {
  private Path pidFile() {
    return directory.resolve("runtime.pid");
  }

  private Path log() {
    return directory.resolve("runtime.log");
  }

  @Override
  public List<String> command() {
    return runtime.command(
        Optional.of(log()), "create", "--bundle", bundle.toString(), "--pid-file", pidFile().toString(), origin.id());
  }

  @Override
  public Map<String, String> environment() {
    return new HashMap<>(System.getenv());
  }

  @Override
  public String failure(int exitStatus) {
    String said = "";
    for (var file : List.of(log(), output)) {
      try {
        var lines = Files.exists(file) ? Files.readAllLines(file) : List.<String>of();
        said = said.isEmpty() && !lines.isEmpty() ? lines.getLast() : said;
      } catch (IOException unreadable) {
        // The status has to do.
        continue;
      }
    }
    return "%s cannot create container %s from bundle %s (exit status %d)%s"
        .formatted(runtime.name(), origin.id(), bundle, exitStatus, said.isEmpty() ? "" : ": " + said.strip());
  }

  @Override
  public int initPid() {
    try {
      return Integer.parseInt(Files.readString(pidFile()).strip());
    } catch (IOException | NumberFormatException e) {
      throw new CheckpointException("%s has not written the container's process id to %s: %s".formatted(runtime.name(), pidFile(), e), e);
    }
  }

  @Override
  public void born(int pid) {
    newborn.accept(pid);
  }

  @Override
  public void close() {
    for (var file : List.of(pidFile(), log())) {
      try {
        Files.deleteIfExists(file);
      } catch (IOException e) {
        throw new CheckpointException("cannot remove " + file + ": " + e, e);
      }
    }
  }
}
