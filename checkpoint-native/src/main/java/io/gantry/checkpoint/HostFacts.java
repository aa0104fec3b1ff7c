package io.gantry.checkpoint;

import java.util.List;

/**
 * What must fit between two hosts.
 *
 * @param kernelRelease {@code uname -r}
 * @param machine {@code uname -m}
 * @param cpuFeatures flags of {@code /proc/cpuinfo}, sorted
 * @param xsaveBytes bytes of a signal frame ({@code AT_MINSIGSTKSZ}), which tell how large the saved XSAVE area is
 * @param vdsoHash hash of the vdso's bytes and of the size of the vvar mappings
 * @param memoryAvailableBytes {@code MemAvailable}
 * @param capabilities what the engine needs from the host, each with its reason
 * @param traits what it was set to and has installed; empty from a host that does not tell
 */
public record HostFacts(
    String kernelRelease,
    String machine,
    List<String> cpuFeatures,
    int xsaveBytes,
    String vdsoHash,
    long memoryAvailableBytes,
    List<Capability> capabilities,
    List<HostTrait> traits) {
  public HostFacts {
    cpuFeatures = List.copyOf(cpuFeatures);
    capabilities = List.copyOf(capabilities);
    // Hosts of older versions do not send any.
    traits = traits == null ? List.of() : List.copyOf(traits);
  }

  /** @param name the kernel feature or right; @param available whether it is there; @param reason what was tried and what the kernel said, and what would help */
  public record Capability(String name, boolean available, boolean required, String reason) {}
}
