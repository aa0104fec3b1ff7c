package io.gantry.checkpoint.oci;

import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.VolumeFacts;
import io.gantry.checkpoint.haul.StoragePolicy;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Where what a bundle mounts from its host is on this one. Between hosts everything is called as its {@code config.json} calls
 * it, so that each host translates for itself and nothing is translated twice.
 *
 * @param kept absolute paths of directories that have the same path on every host: those of the bundle, and volumes
 */
public record OciPaths(StoragePolicy policy, List<Path> kept) {
  public OciPaths {
    kept = List.copyOf(kept);
  }

  /** For a container that is to come. */
  public static OciPaths of(OciOffer offer, List<VolumeFacts> volumes, StoragePolicy policy) {
    var kept = Stream.concat(offer.trees().stream(), volumes.stream().map(facts -> Path.of(facts.path())));
    return new OciPaths(policy, kept.toList());
  }

  /** Where the source of a bind mount is here. */
  public Path here(Path source) {
    return kept.stream().anyMatch(source::startsWith) ? source : policy.here(source);
  }

  /** Files of the container, by where they are here. */
  public List<Footprint.FileFact> here(OciOffer offer, List<Footprint.FileFact> files) {
    return files.stream().map(file -> here(offer, file)).toList();
  }

  private Footprint.FileFact here(OciOffer offer, Footprint.FileFact file) {
    var path = Path.of(file.path());
    boolean mounted = offer.binds().stream().anyMatch(bind -> path.startsWith(bind.source()));
    return mounted ? new Footprint.FileFact(here(path).toString(), file.sizeBytes(), file.mode(), file.buildId()) : file;
  }
}
