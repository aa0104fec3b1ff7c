package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.linux.FileOwner;
import io.gantry.checkpoint.linux.Kcmp;
import io.gantry.checkpoint.linux.KernelException;
import java.util.ArrayList;
import java.util.List;

/** What speaks against carrying descriptors: what each kind says, and what holds for every kind. */
final class Obstacles {
  private Obstacles() {}

  /** Reasons that lie in one descriptor. */
  static List<Finding> of(SeenDescriptor seen, int copy, Inventory inventory) {
    var found = new ArrayList<Finding>();
    var kind = FileKinds.of(seen, copy);
    int pid = seen.process().pid();
    if (seen.link().isEmpty()) {
      found.add(new Finding(pid, seen.fd(), "file name", "the name of the open file is not valid UTF-8; rename the file"));
      return found;
    }
    for (var sentence : kind.obstacles(seen, copy, inventory)) {
      found.add(new Finding(pid, seen.fd(), kind.name(seen, copy), sentence));
    }
    found.addAll(LockObstacles.of(seen, inventory));
    ThreadTables.obstacle(seen, kind, kind.name(seen, copy), inventory).ifPresent(found::add);
    if (found.isEmpty()) {
      var owner = FileOwner.of(copy);
      if (owner.pid() != 0 && inventory.nsId(owner.pid()).isEmpty()) {
        found.add(
            new Finding(
                pid,
                seen.fd(),
                kind.name(seen, copy),
                "its signals go to process or group " + owner.pid() + " (F_SETOWN), which is not part of the container"));
      }
    }
    return found;
  }

  /** Reasons that lie in a process's descriptor table: one that is shared between processes. */
  static List<Finding> ofTables(List<ProcessRef> processes) {
    var found = new ArrayList<Finding>();
    for (int i = 0; i < processes.size(); i++) {
      int pid = processes.get(i).pid();
      for (int j = i + 1; j < processes.size(); j++) {
        if (same(pid, processes.get(j).pid())) {
          found.add(
              new Finding(
                  pid,
                  -1,
                  "shared descriptor table",
                  "processes " + pid + " and " + processes.get(j).pid()
                      + " share one descriptor table (CLONE_FILES), which cannot be carried"));
        }
      }
    }
    return found;
  }

  private static boolean same(int a, int b) {
    try {
      return Kcmp.sameDescriptorTable(a, b);
    } catch (KernelException gone) {
      return false;
    }
  }
}
