package io.gantry.checkpoint;

import io.gantry.checkpoint.oci.OciOffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What a container has, measured from outside without stopping it, and what speaks against carrying it.
 *
 * @param processes live and zombie processes
 * @param threads threads of all processes
 * @param descriptors open file descriptors of all processes
 * @param residentBytes anonymous and shared memory that a move would have to carry, pages shared between processes counted once
 * @param mappedFiles every file that is mapped or open by path, to be compared with the destination
 * @param listeningPorts TCP and UDP ports bound in the host's network namespace, as {@code "tcp 0.0.0.0:6379"}
 * @param identity {@code CLOCK}, CPU and kernel facts of this host; see {@link HostFacts}
 * @param findings everything that cannot be carried; empty when it can
 * @param oci how it was made, when a runtime has made it
 * @param bridges of the host that it is connected to, when it has a network namespace of its own
 * @param hugePages reserved huge pages that it needs
 * @param volumes directories whose files belong to it
 */
public record Footprint(
    int processes,
    int threads,
    int descriptors,
    long residentBytes,
    List<FileFact> mappedFiles,
    List<String> listeningPorts,
    HostFacts identity,
    List<Finding> findings,
    Optional<OciOffer> oci,
    List<String> bridges,
    List<HugePageUse> hugePages,
    List<VolumeFacts> volumes) {
  public Footprint {
    // Hosts of older versions do not send any.
    bridges = bridges == null ? List.of() : List.copyOf(bridges);
    hugePages = hugePages == null ? List.of() : List.copyOf(hugePages);
    volumes = volumes == null ? List.of() : List.copyOf(volumes);
  }

  /** That of a container that Gantry itself has made. */
  public Footprint(
      int processes,
      int threads,
      int descriptors,
      long residentBytes,
      List<FileFact> mappedFiles,
      List<String> listeningPorts,
      HostFacts identity,
      List<Finding> findings) {
    this(processes, threads, descriptors, residentBytes, mappedFiles, listeningPorts, identity, findings, Optional.empty(), List.of(), List.of(), List.of());
  }

  /** The same with other findings. */
  public Footprint withFindings(List<Finding> others) {
    return new Footprint(
        processes, threads, descriptors, residentBytes, mappedFiles, listeningPorts, identity, others, oci, bridges, hugePages, volumes);
  }

  /** The same with one finding more. */
  Footprint with(Finding finding) {
    var all = new ArrayList<>(findings);
    all.add(finding);
    return withFindings(all);
  }

  /** The same for a container that a runtime has made, with its files by their names on the host. */
  Footprint madeBy(OciOffer offer, List<FileFact> onHost) {
    return new Footprint(
        processes, threads, descriptors, residentBytes, onHost, listeningPorts, identity, findings, Optional.of(offer), bridges, hugePages, volumes);
  }

  /** The same for a container that is connected to bridges. */
  Footprint connectedTo(List<String> others) {
    return new Footprint(
        processes, threads, descriptors, residentBytes, mappedFiles, listeningPorts, identity, findings, oci, others, hugePages, volumes);
  }

  /** The same for a container that needs huge pages. */
  Footprint needing(List<HugePageUse> others) {
    return new Footprint(
        processes, threads, descriptors, residentBytes, mappedFiles, listeningPorts, identity, findings, oci, bridges, others, volumes);
  }

  /** The same for a container that has volumes. */
  Footprint having(List<VolumeFacts> others) {
    return new Footprint(
        processes, threads, descriptors, residentBytes, mappedFiles, listeningPorts, identity, findings, oci, bridges, hugePages, others);
  }

  /**
   * @param path as the container sees it; as the host does when a runtime has made the container
   * @param sizeBytes size, or -1 when it may change while the container runs (opened for writing)
   * @param mode {@code st_mode}
   * @param buildId lower-case hexadecimal GNU build id, or empty
   */
  public record FileFact(String path, long sizeBytes, int mode, String buildId) {}

  /**
   * Reserved huge pages of one size.
   *
   * @param pageBytes the size
   * @param count how many
   */
  public record HugePageUse(long pageBytes, long count) {}
}
