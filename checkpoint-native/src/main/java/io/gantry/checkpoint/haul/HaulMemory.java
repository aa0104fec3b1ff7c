package io.gantry.checkpoint.haul;

import io.gantry.checkpoint.CheckpointException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What an engine remembers of trees that came or went, so that the next haul can go on from there, and what it has to clean up one day. The former ends with
 * the agent: then everything is sent again. Any thread.
 */
public final class HaulMemory {
  private record Tree(String container, Path volume) {}

  private final StoragePolicy policy;
  private final Map<Tree, TreeIndex> trees = new ConcurrentHashMap<>();

  public HaulMemory(StoragePolicy policy) {
    this.policy = policy;
    policy.notes().filter(Files::isDirectory).ifPresent(notes -> Thread.ofPlatform().daemon().name("removes old files").start(this::sweep));
  }

  /** Taken out: only one can go on from it. */
  Optional<TreeIndex> take(String container, Path volume) {
    return Optional.ofNullable(trees.remove(new Tree(container, volume)));
  }

  void put(String container, Path volume, TreeIndex index) {
    trees.put(new Tree(container, volume), index);
  }

  /** Files of a container that is not here were left in a stage. */
  void left(Stage stage) {
    policy.notes().ifPresent(notes -> {
      try {
        Files.createDirectories(notes);
        Files.writeString(note(notes, stage), stage.home().toString());
      } catch (IOException e) {
        throw new CheckpointException("noting in " + notes + " that " + stage.home() + " is to be removed one day: " + e, e);
      }
    });
    sweep();
  }

  /** They were used, or removed. */
  void taken(Stage stage) {
    policy.notes().ifPresent(notes -> {
      try {
        Files.deleteIfExists(note(notes, stage));
      } catch (IOException e) {
        throw new CheckpointException("forgetting in " + notes + " that " + stage.home() + " was to be removed: " + e, e);
      }
    });
  }

  private static Path note(Path notes, Stage stage) {
    return notes.resolve(UUID.nameUUIDFromBytes(stage.home().toString().getBytes(StandardCharsets.UTF_8)).toString());
  }

  /** Removes what was left longer ago than it is kept. */
  private void sweep() {
    var notes = policy.notes().filter(Files::isDirectory);
    if (notes.isEmpty()) {
      return;
    }
    var oldest = Instant.now().minus(policy.keep());
    try (var found = Files.list(notes.get())) {
      for (var note : found.toList()) {
        if (Files.getLastModifiedTime(note).toInstant().isBefore(oldest)) {
          Stage.remove(Path.of(Files.readString(note)));
          Files.deleteIfExists(note);
        }
      }
    } catch (IOException | RuntimeException busy) {
      // The next time will do.
    }
  }
}
