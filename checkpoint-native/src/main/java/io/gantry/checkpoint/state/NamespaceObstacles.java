package io.gantry.checkpoint.state;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.user.UserNamespaces;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * Whether a process is in the container's namespaces and, where the container has none of its own, in the host's. Of user namespaces
 * there may be more below the container's own.
 */
final class NamespaceObstacles {
  /** The container's own; the second ones are those that new children would get. */
  private static final List<String> CONTAINER = List.of("pid", "pid_for_children", "mnt", "ipc", "uts");
  /** Those that the container shares with this agent. */
  private static final List<String> HOST = List.of("cgroup");
  /** The container's own, or the agent's where it shares the agent's pid namespace; the second is the one that new children would get. */
  private static final List<String> EITHER = List.of("time", "time_for_children", "net");

  private final int root;
  private final boolean inRuntime;
  private final UserNamespaces users;
  private final List<Finding> findings;

  /** @param inRuntime whether a runtime has made the container, who then makes its cgroup namespace too */
  NamespaceObstacles(int root, boolean inRuntime, UserNamespaces users, List<Finding> findings) {
    this.root = root;
    this.users = users;
    this.inRuntime = inRuntime;
    this.findings = findings;
  }

  void look(int pid) throws IOException {
    for (String kind : CONTAINER) {
      compare(pid, kind, root, "the container's first process");
    }
    int agent = (int) ProcessHandle.current().pid();
    for (String kind : HOST) {
      boolean own = inRuntime && kind.equals("cgroup");
      compare(pid, kind, own ? root : agent, own ? "the container's first process" : "the agent");
    }
    var obstacle =
        pid == root && !inRuntime && !users.isAgents()
            ? Optional.of(
                "its pid namespace belongs to another user namespace than the agent's, and no runtime has made it; only a runtime's can be"
                    + " made again")
            : users.obstacle(pid);
    obstacle.ifPresent(sentence -> findings.add(new Finding(pid, -1, "user namespace", sentence)));
    var inside = link(root, "pid");
    boolean own = inside != null && !inside.equals(link(agent, "pid"));
    for (String kind : EITHER) {
      compare(pid, kind, own ? root : agent, own ? "the container's first process" : "the agent");
    }
  }

  private void compare(int pid, String kind, int other, String whose) throws IOException {
    var here = link(pid, kind);
    var there = link(other, kind.replace("_for_children", ""));
    if (here != null && there != null && !here.equals(there)) {
      findings.add(
          new Finding(
              pid,
              -1,
              "nested namespace",
              "its %s namespace is not that of %s; nested namespaces cannot be carried".formatted(kind, whose)));
    }
  }

  /** Null for a zombie, which has left its namespaces, and for kinds that this kernel does not have. */
  private static Path link(int pid, String kind) throws IOException {
    try {
      return Files.readSymbolicLink(Path.of("/proc/" + pid + "/ns/" + kind));
    } catch (NoSuchFileException none) {
      return null;
    }
  }
}
