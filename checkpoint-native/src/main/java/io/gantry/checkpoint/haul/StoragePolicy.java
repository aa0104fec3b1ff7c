package io.gantry.checkpoint.haul;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What this host shares with others, and how long it keeps files whose container is not here.
 *
 * @param shared directories that are the same on every host: nothing below them is ever copied
 * @param keep for how long what an unfinished move, or one away from here, has left is kept for the next one
 * @param notes directory in which is noted what was left; without, nobody cleans up after an agent that was stopped
 * @param paths where directories of other hosts, by their absolute paths there, are on this one; other paths are the same
 *     everywhere
 */
public record StoragePolicy(List<Path> shared, Duration keep, Optional<Path> notes, Map<Path, Path> paths) {
  /** Long enough to find out that something went wrong. */
  public static final Duration KEEP_DEFAULT = Duration.ofDays(7);

  /** Nothing is shared but what is found to be. */
  public static final StoragePolicy DEFAULT = new StoragePolicy(List.of(), KEEP_DEFAULT, Optional.empty());

  public StoragePolicy {
    shared = List.copyOf(shared);
    paths = Map.copyOf(paths);
  }

  /** Every path is the same everywhere. */
  public StoragePolicy(List<Path> shared, Duration keep, Optional<Path> notes) {
    this(shared, keep, notes, Map.of());
  }

  /** Where something is on this host that other hosts have at this absolute path; the longest of {@link #paths} counts. */
  public Path here(Path path) {
    return paths.keySet().stream()
        .filter(path::startsWith)
        .max(Comparator.comparingInt(Path::getNameCount))
        .map(from -> paths.get(from).resolve(from.relativize(path)))
        .orElse(path);
  }

  /** Whether a directory was declared to be the same on every host. */
  boolean declares(Path path) {
    return shared.stream().anyMatch(path::startsWith);
  }
}
