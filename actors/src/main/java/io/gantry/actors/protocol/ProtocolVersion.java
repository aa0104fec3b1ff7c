package io.gantry.actors.protocol;

/**
 * The protocol between hosts. Nodes of one major version understand each other: a minor version may only add fields that have
 * a meaning when absent,
 * and messages whose loss is harmless. The version is announced as a cluster role, which any version can read, so that a node
 * of another
 * major version is refused before a message of it has to be decoded.
 *
 * @param major must be equal on both sides
 * @param minor may differ
 */
public record ProtocolVersion(int major, int minor) {
  /** What this build speaks. */
  public static final ProtocolVersion CURRENT = new ProtocolVersion(1, 5);

  /** First minor version that knows of containers that a runtime makes; an older node would make one of its own instead. */
  private static final int WITH_RUNTIMES = 3;

  /** First minor version that knows of files that belong to a container; an older node would leave them behind. */
  private static final int WITH_VOLUMES = 4;

  /** Whether a node that speaks this can take in a container with volumes. */
  public boolean knowsVolumes() {
    return major > CURRENT.major || major == CURRENT.major && minor >= WITH_VOLUMES;
  }

  /** Whether a node that speaks this can take in a container that an OCI runtime makes. */
  public boolean knowsRuntimes() {
    return major > CURRENT.major || major == CURRENT.major && minor >= WITH_RUNTIMES;
  }

  public boolean isCompatibleWith(ProtocolVersion other) {
    return major == other.major;
  }

  /** Why a node that speaks {@code other} is refused, and what helps. */
  public String refusal(String peer, ProtocolVersion other) {
    return "Node %s speaks version %s of the protocol between nodes and this one %s; install the same release of Gantry on both."
        .formatted(peer, other, this);
  }

  @Override
  public String toString() {
    return major + "." + minor;
  }
}
