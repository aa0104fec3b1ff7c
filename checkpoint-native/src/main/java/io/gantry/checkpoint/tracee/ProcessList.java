package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.Directory;
import io.gantry.checkpoint.linux.Fd;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Which processes belong together; asked again and again while they are being stopped. */
@FunctionalInterface
interface ProcessList {
  /** Process ids as the host counts, living ones and perhaps zombies. */
  Set<Integer> now();

  static ProcessList inCgroup(Path cgroup) {
    var group = new Cgroup(cgroup);
    return () -> new LinkedHashSet<>(group.processes());
  }

  static ProcessList treeOf(int rootPid) {
    return () -> {
      var found = new LinkedHashSet<Integer>();
      var next = new ArrayList<>(List.of(rootPid));
      while (!next.isEmpty()) {
        int pid = next.removeLast();
        if (found.add(pid)) {
          next.addAll(children(pid));
        }
      }
      return found;
    };
  }

  /** Children of all threads of a process, zombies included. */
  static List<Integer> children(int pid) {
    var found = new ArrayList<Integer>();
    for (int tid : Directory.numbers("/proc/" + pid + "/task")) {
      found.addAll(childrenOfThread(pid, tid));
    }
    return found;
  }

  static List<Integer> childrenOfThread(int pid, int tid) {
    var found = new ArrayList<Integer>();
    int child = 0;
    for (byte b : Fd.readIfThere("/proc/" + pid + "/task/" + tid + "/children").orElse(new byte[0])) {
      if (b == ' ') {
        found.add(child);
        child = 0;
      } else {
        child = child * 10 + b - '0';
      }
    }
    return found;
  }
}
