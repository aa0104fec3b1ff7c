package io.gantry.checkpoint.oci;

import io.gantry.checkpoint.CheckpointException;
import java.nio.file.NoSuchFileException;
import java.util.List;
import java.util.Optional;

/**
 * What a destination is told of a container that a runtime has made.
 *
 * @param mounts those that it has, to be compared with what the destination's runtime makes
 * @param limits that it has now, see {@link OciLimits}; empty when they are not known
 */
public record OciOffer(OciOrigin origin, List<String> mounts, String limits) {
  public OciOffer {
    mounts = List.copyOf(mounts);
    // Hosts of older versions do not send any.
    limits = limits == null ? "" : limits;
  }

  /** @param root the container's first process, as the host counts; empty when it has ended */
  public static Optional<OciOffer> of(OciOrigin origin, int root, String limits) {
    try {
      return Optional.of(new OciOffer(origin, MountTable.of(root).comparable(), limits));
    } catch (NoSuchFileException ended) {
      return Optional.empty();
    }
  }

  /** @throws CheckpointException when the runtime here has mounted something else */
  void requireSameMounts(int root) {
    List<String> here;
    try {
      here = MountTable.of(root).comparable();
    } catch (NoSuchFileException ended) {
      throw new CheckpointException("the first process of " + origin.id() + " has ended while it was being made", ended);
    }
    var missing = mounts.stream().filter(mount -> !here.contains(mount)).toList();
    var other = here.stream().filter(mount -> !mounts.contains(mount)).toList();
    if (!missing.isEmpty() || !other.isEmpty()) {
      throw new CheckpointException(
          "%s mounts other things here than the container %s has: it has %s, and here there would be %s; equal versions of the runtime and equal hosts would help"
              .formatted(origin.runtime(), origin.id(), missing, other));
    }
  }
}
