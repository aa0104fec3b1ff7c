package io.gantry.checkpoint.oci;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.NetworkThread;
import io.gantry.checkpoint.procfs.ProcText;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Whose the network namespace of a runtime's container is. One that is made for it goes where it goes. One that its {@code
 * config.json} joins by path is
 * somebody else's work on every host: it must be there at the destination, and nobody else may use it, here or there, since it is
 * cut off here and connected
 * there. Any thread.
 */
final class OciNetwork {
  private OciNetwork() {}

  /**
   * What speaks against taking a container's network namespace away.
   *
   * @param root its first process, as the host counts
   */
  static List<Finding> obstacles(OciBundle bundle, int root) {
    if (bundle.namespace("network").isEmpty() || !NetworkThread.isElsewhere(root)) {
      return List.of();
    }
    var namespace = FileStatus.of("/proc/" + root + "/ns/net");
    var inside = FileStatus.of("/proc/" + root + "/ns/pid");
    var findings = new ArrayList<Finding>();
    for (int pid : others(namespace)) {
      if (!FileStatus.of("/proc/" + pid + "/ns/pid").map(FileStatus::inode).equals(inside.map(FileStatus::inode))) {
        findings.add(
            new Finding(
                root, -1, "network namespace", "process %d of the host is in its network namespace too and would be cut off; end it first".formatted(pid)));
      }
    }
    return findings;
  }

  /** What speaks against making the container here. @param joined where the network namespace is that it joins */
  static List<Finding> preflight(Optional<Path> joined) {
    return joined.flatMap(OciNetwork::preflight)
        .map(sentence -> List.of(new Finding(0, -1, "network namespace", sentence)))
        .orElse(List.of());
  }

  private static Optional<String> preflight(Path path) {
    var own = FileStatus.of("/proc/self/ns/net").orElseThrow();
    var there = FileStatus.of(path.toString());
    // All namespaces are files of one file system (fs/nsfs.c).
    if (there.isEmpty() || there.get().device() != own.device()) {
      return Optional.of(
          "%s, the network namespace that its config.json joins, is not on this host; make it with \"ip netns add\", or what made it at the source"
              .formatted(path));
    }
    if (there.get().inode() == own.inode()) {
      return Optional.empty();
    }
    return others(there).stream().findFirst().map(
        pid -> "process %d is in %s, the network namespace that the container's config.json joins; it must be free for the container".formatted(pid, path));
  }

  private static List<Integer> others(Optional<FileStatus> namespace) {
    var found = new ArrayList<Integer>();
    try {
      for (int pid : ProcText.numbers("/proc")) {
        if (namespace.isPresent() && FileStatus.of("/proc/" + pid + "/ns/net").map(FileStatus::inode).equals(namespace.map(FileStatus::inode))) {
          found.add(pid);
        }
      }
    } catch (NoSuchFileException unmounted) {
      throw new IllegalStateException("there is no /proc", unmounted);
    }
    return found;
  }
}
