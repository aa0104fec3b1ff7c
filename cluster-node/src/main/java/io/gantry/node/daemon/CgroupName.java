package io.gantry.node.daemon;

import java.nio.file.Path;
import java.util.HexFormat;

/** The cgroup below which a node's containers live. */
public final class CgroupName {
  private CgroupName() {}

  /** One name, the same after a restart and another for every state directory on a host. */
  public static String of(String node, Path stateDirectory) {
    return node + "-" + HexFormat.of().toHexDigits(stateDirectory.toString().hashCode());
  }
}
