package io.gantry.checkpoint.state;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.procfs.ProcText;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Mounts of a container beyond what every container is born with: those of the host, a {@code /proc}, a {@code /dev/pts} and a {@code /dev/shm} of
 * its own, and its directory at {@code /run/gantry}. Others would be missing on the other host. What the host has mounted since is no obstacle.
 */
final class MountObstacles {
  private static final String OWN_PROC = "/proc";
  private static final String OWN_TERMINALS = "/dev/pts";
  private static final String OWN_SHARED_MEMORY = "/dev/shm";
  private static final String OWN_DIRECTORY = "/run/gantry";

  private MountObstacles() {}

  /** Empty as well when the process has ended. */
  static List<Finding> of(int root) {
    try {
      return compare(root, mounts("/proc/" + root + "/mountinfo"), mounts("/proc/self/mountinfo"));
    } catch (NoSuchFileException ended) {
      return List.of();
    }
  }

  static List<Finding> compare(int root, Map<String, List<String>> container, Map<String, List<String>> host) {
    var findings = new ArrayList<Finding>();
    container.forEach(
        (point, what) -> {
          boolean own = point.equals(OWN_PROC) || point.startsWith(OWN_PROC + "/") || point.equals(OWN_DIRECTORY);
          own |= point.equals(OWN_TERMINALS) && isOwn(point, what, host, "devpts");
          own |= point.equals(OWN_SHARED_MEMORY) && isOwn(point, what, host, "tmpfs");
          if (!own && !what.equals(host.get(point))) {
            findings.add(
                new Finding(
                    root,
                    -1,
                    "mount",
                    host.containsKey(point)
                        ? "what is mounted at %s (%s) is not what this host has there (%s); unmount it".formatted(point, what, host.get(point))
                        : "%s is mounted at %s in the container only; unmount it".formatted(what, point)));
          }
        });
    return findings;
  }

  /** One whole instance of a file system on top of what the host has there, which the host has nowhere. */
  private static boolean isOwn(String point, List<String> what, Map<String, List<String>> host, String type) {
    return what.size() <= host.getOrDefault(point, List.of()).size() + 1
        && what.getLast().matches(type + " [0-9]+:[0-9]+/")
        && host.values().stream().noneMatch(mounted -> mounted.contains(what.getLast()));
  }

  private static Map<String, List<String>> mounts(String file) throws NoSuchFileException {
    return parse(ProcText.read(file));
  }

  /** Device, root and file system of what is mounted at each point, lowest first; {@code man 5 proc_pid_mountinfo}. */
  static Map<String, List<String>> parse(String mountinfo) {
    var mounts = new TreeMap<String, List<String>>();
    for (String line : mountinfo.split("\n")) {
      int dash = line.indexOf(" - ");
      if (dash < 0) {
        continue;
      }
      String[] fields = line.substring(0, dash).split(" ");
      String type = line.substring(dash + 3).split(" ")[0];
      mounts.computeIfAbsent(fields[4], point -> new ArrayList<>()).add(type + " " + fields[2] + fields[3]);
    }
    return mounts;
  }
}
