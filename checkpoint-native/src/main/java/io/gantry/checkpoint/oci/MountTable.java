package io.gantry.checkpoint.oci;

import io.gantry.checkpoint.procfs.ProcText;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** The mounts that a process sees, from {@code /proc/PID/mountinfo} ({@code man 5 proc_pid_mountinfo}). */
record MountTable(List<Row> rows) {
  /** File systems that are the kernel's own: what of them is shown where means the same on every host. */
  private static final Set<String> MADE = Set.of("proc", "sysfs", "tmpfs", "devpts", "mqueue");

  /**
   * @param root what of the file system is shown
   * @param options of the mount
   * @param superOptions of the file system
   */
  record Row(String root, String point, String options, String type, String superOptions) {
    boolean isCgroup() {
      return type.equals("cgroup") || type.equals("cgroup2");
    }

    /**
     * What must be the same on another host: not on which disk a directory lies.
     *
     * @param hosts where directories of the host are mounted
     */
    String comparable(Set<String> hosts) {
      return MADE.contains(type) && !point.equals("/") && !hosts.contains(point)
          ? "%s of %s at %s (%s; %s)".formatted(root, type, point, options, superOptions)
          : "%s (%s)".formatted(point, options);
    }
  }

  static MountTable of(int pid) throws NoSuchFileException {
    return parse(ProcText.read("/proc/" + pid + "/mountinfo"));
  }

  static MountTable parse(String mountinfo) {
    var rows = new ArrayList<Row>();
    for (String line : mountinfo.split("\n")) {
      int dash = line.indexOf(" - ");
      if (dash >= 0) {
        String[] before = line.substring(0, dash).split(" ");
        String[] behind = line.substring(dash + 3).split(" ");
        rows.add(new Row(before[3], before[4], before[5], behind[0], behind.length > 2 ? behind[2] : ""));
      }
    }
    return new MountTable(List.copyOf(rows));
  }

  /**
   * In an order that does not depend on when something was mounted.
   *
   * @param hosts where directories of the host are mounted, beside the root
   */
  List<String> comparable(Set<String> hosts) {
    return rows.stream().map(row -> row.comparable(hosts)).sorted().toList();
  }
}
