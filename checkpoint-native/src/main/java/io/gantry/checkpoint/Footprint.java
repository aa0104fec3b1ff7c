package io.gantry.checkpoint;

import java.util.List;

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
 */
public record Footprint(
    int processes,
    int threads,
    int descriptors,
    long residentBytes,
    List<FileFact> mappedFiles,
    List<String> listeningPorts,
    HostFacts identity,
    List<Finding> findings) {
  /** The same with other findings. */
  public Footprint withFindings(List<Finding> others) {
    return new Footprint(processes, threads, descriptors, residentBytes, mappedFiles, listeningPorts, identity, others);
  }

  /**
   * @param path as the container sees it
   * @param sizeBytes size, or -1 when it may change while the container runs (opened for writing)
   * @param mode {@code st_mode}
   * @param buildId lower-case hexadecimal GNU build id, or empty
   */
  public record FileFact(String path, long sizeBytes, int mode, String buildId) {}
}
