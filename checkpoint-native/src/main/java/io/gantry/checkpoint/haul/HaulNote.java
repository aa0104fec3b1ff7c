package io.gantry.checkpoint.haul;

import io.gantry.checkpoint.CheckpointException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Lists of directories that are kept in the host's own directory of a container, so that they outlive the agent: its volumes, and those of them whose
 * files are to go from their place when the container is not to run here. Any thread.
 */
public enum HaulNote {
  /** All directories whose files belong to the container. */
  VOLUMES("volumes"),
  /** Those that a haul has brought or taken, while it is not certain where the container will run. */
  HAULED("hauled");

  private final String file;

  HaulNote(String file) {
    this.file = file;
  }

  /** @param directory the host's own for the container */
  public void write(Path directory, List<Path> volumes) {
    if (volumes.isEmpty()) {
      return;
    }
    try {
      Files.write(directory.resolve(file), volumes.stream().map(Path::toString).toList());
    } catch (IOException e) {
      throw new CheckpointException("noting the volumes of a container in " + directory + ": " + e, e);
    }
  }

  /** Empty when there are none. */
  public List<Path> read(Path directory) {
    var list = directory.resolve(file);
    if (!Files.exists(list)) {
      return List.of();
    }
    try {
      return Files.readAllLines(list).stream().map(Path::of).toList();
    } catch (IOException e) {
      throw new CheckpointException("reading " + list + ": " + e, e);
    }
  }

  public void forget(Path directory) {
    try {
      Files.deleteIfExists(directory.resolve(file));
    } catch (IOException e) {
      throw new CheckpointException("removing " + directory.resolve(file) + ": " + e, e);
    }
  }

  /** The container is not to run here: what a haul has brought or taken goes from its place. */
  public static void putAway(String container, Path directory, HaulMemory memory) {
    for (var volume : HAULED.read(directory)) {
      var stage = Stage.of(volume, container);
      stage.putAway(HaulCapture.LEFT.formatted(container), "");
      memory.left(stage);
    }
    HAULED.forget(directory);
  }
}
