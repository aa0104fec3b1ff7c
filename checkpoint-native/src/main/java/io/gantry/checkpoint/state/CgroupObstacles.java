package io.gantry.checkpoint.state;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.tracee.Cgroup;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Control groups that a container has made below its own: neither they nor the processes in them would be carried. */
final class CgroupObstacles {
  /** Where containers are, {@link Cgroup}. */
  private static final String CONTAINERS = "/gantry/";

  private CgroupObstacles() {}

  /** @param inRuntime whether a runtime has made the container, in whatever place; empty as well when the process has ended, and for processes that are in no container. */
  static List<Finding> of(int root, boolean inRuntime) {
    var findings = new ArrayList<Finding>();
    try {
      // Of the v2 hierarchy (man 7 cgroups).
      String path = ProcText.read("/proc/" + root + "/cgroup").lines().filter(line -> line.startsWith("0::")).findFirst().orElse("0::").substring(3);
      if (!path.startsWith(CONTAINERS) && !(inRuntime && path.length() > 1)) {
        return findings;
      }
      try (var below = Files.list(Cgroup.mountPoint().resolve(path.substring(1)))) {
        below.filter(Files::isDirectory).map(Path::getFileName).sorted().forEach(
            name ->
                findings.add(
                    new Finding(
                        root, -1, "cgroup", "the container has a control group of its own, " + path + "/" + name + "; move its processes out and remove it")));
      }
    } catch (NoSuchFileException ended) {
      return findings;
    } catch (IOException e) {
      throw new UncheckedIOException("looking for control groups of process " + root, e);
    }
    return findings;
  }
}
