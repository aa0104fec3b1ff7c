package io.gantry.simulation;

import io.gantry.actors.ContainerDirectories;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;

/** Directories that are only names. Any thread. */
public final class StandInDirectories implements ContainerDirectories {
  private final StandInTruth truth;
  private final StandInHost host;

  public StandInDirectories(StandInTruth truth, String host) {
    this.truth = truth;
    this.host = truth.host(host);
  }

  @Override
  public Path create(String container) {
    return truth.change(
        () -> {
          if (!host.directories.contains(container)) {
            host.directories.add(container);
          }
          return Path.of("/state", host.name(), container);
        });
  }

  @Override
  public void remove(String container) {
    truth.change(() -> host.directories.remove(container));
  }

  @Override
  public Console read(String container, long offset, int bytesMax) {
    var bytes = ("console of " + container + "\n").getBytes(StandardCharsets.UTF_8);
    var from = (int) Math.min(offset, bytes.length);
    return new Console(Arrays.copyOfRange(bytes, from, Math.min(bytes.length, from + bytesMax)), bytes.length);
  }
}
