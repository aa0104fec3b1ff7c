package io.gantry.simulation.host;

import io.gantry.actors.ContainerDirectories;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;

/** Directories that are only names. Any thread. */
public final class StandInDirectories implements ContainerDirectories {
  private final Truth truth;
  private final StandInHost host;
  private final Life life;

  public StandInDirectories(Truth truth, Life life) {
    this.truth = truth;
    this.host = truth.host(life.host());
    this.life = life;
  }

  @Override
  public Path create(String container) {
    life.before("directory.create");
    truth.directory(host, container, true);
    life.after("directory.create");
    return Path.of("/state", host.name(), container);
  }

  @Override
  public void remove(String container) {
    life.before("directory.remove");
    truth.directory(host, container, false);
    life.after("directory.remove");
  }

  @Override
  public Console read(String container, long offset, int bytesMax) {
    var bytes = ("console of " + container + "\n").getBytes(StandardCharsets.UTF_8);
    var from = (int) Math.min(offset, bytes.length);
    return new Console(Arrays.copyOfRange(bytes, from, Math.min(bytes.length, from + bytesMax)), bytes.length);
  }
}
