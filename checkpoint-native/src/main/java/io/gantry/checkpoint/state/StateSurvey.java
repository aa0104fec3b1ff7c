package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.linux.IpcNamespace;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.TaskStat;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.procfs.ThreadGroup;
import io.gantry.checkpoint.shm.ShmSurvey;
import io.gantry.checkpoint.user.UserNamespaces;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * What speaks against carrying processes, as far as neither their memory nor their descriptors are concerned. Looks from outside and stops
 * nothing; a process that ends meanwhile is left out. Any thread.
 */
public final class StateSurvey {
  private final List<Finding> findings = new ArrayList<>();
  private final List<Integer> pids;

  private final boolean inRuntime;

  private StateSurvey(Collection<Integer> pids, boolean inRuntime) {
    this.pids = pids.stream().map(ThreadGroup::shownAs).toList();
    this.inRuntime = inRuntime;
  }

  /**
   * Looks at all processes of a container.
   *
   * @param pids as the host counts
   * @return one entry for each reason; empty when everything can be carried
   */
  public static List<Finding> survey(Collection<Integer> pids) {
    return survey(pids, false);
  }

  /**
   * As above.
   *
   * @param inRuntime whether a runtime has made the container, and makes its mounts and cgroup namespace again
   */
  public static List<Finding> survey(Collection<Integer> pids, boolean inRuntime) {
    var survey = new StateSurvey(pids, inRuntime);
    survey.look();
    return List.copyOf(survey.findings);
  }

  /**
   * The tree of a container, from outside.
   *
   * @param pids as the host counts; those that have ended meanwhile are left out
   */
  public static List<TreeMember> tree(Collection<Integer> pids) {
    Map<Integer, Integer> inside = new HashMap<>();
    var found = new ArrayList<Seen>();
    for (int pid : pids) {
      seen(pid)
          .ifPresent(
              seen -> {
                inside.put((int) seen.status.number("Tgid"), seen.status.innermost("NStgid"));
                found.add(seen);
              });
    }
    return found.stream().map(seen -> seen.member(inside)).toList();
  }

  private record Seen(TaskStatus status, TaskStat stat, List<Integer> threads) {
    TreeMember member(Map<Integer, Integer> inside) {
      return new TreeMember(
          status.innermost("NStgid"),
          inside.getOrDefault(status.parent(), 0),
          status.innermost("NSpgid"),
          status.innermost("NSsid"),
          threads,
          status.state() == 'Z',
          stat.startTicks(),
          status.state() == 'Z' ? 0 : stat.pseudoTerminal());
    }
  }

  private static Optional<Seen> seen(int pid) {
    try {
      var threads = new ArrayList<Integer>();
      for (int tid : ProcText.numbers("/proc/" + pid + "/task")) {
        threads.add(TaskStatus.ofThread(pid, tid).innermost("NSpid"));
      }
      var status = TaskStatus.ofProcess(pid);
      return Optional.of(new Seen(status, TaskStat.ofProcess((int) status.number("Tgid")), threads));
    } catch (NoSuchFileException ended) {
      return Optional.empty();
    }
  }

  private void look() {
    var root = root();
    var users = root.flatMap(this::users);
    try {
      look(root, users);
    } finally {
      users.ifPresent(UserNamespaces::close);
    }
  }

  /** Empty when it has ended: then there is nothing to carry. */
  private Optional<UserNamespaces> users(int root) {
    try {
      return Optional.of(UserNamespaces.of(root, pids));
    } catch (KernelException e) {
      if (lives(root)) {
        throw e;
      }
      return Optional.empty();
    }
  }

  private void look(Optional<Integer> root, Optional<UserNamespaces> users) {
    var labels = SecurityLabels.ofThisHost();
    for (int pid : pids) {
      try {
        new ProcessObstacles(pid, findings).look();
        findings.addAll(labels.obstacles(pid));
        if (root.isPresent() && root.get() == pid) {
          endedMain(pid);
        }
        if (users.isPresent()) {
          new NamespaceObstacles(root.orElseThrow(), inRuntime, users.get(), findings).look(pid);
        }
      } catch (KernelException e) {
        // Ended while it was being looked at.
        if (lives(pid)) {
          throw e;
        }
      } catch (NoSuchFileException ended) {
        // As above.
        continue;
      } catch (IOException e) {
        throw new CheckpointException("looking at process " + pid + " failed: " + e, e);
      }
    }
    // A zombie has left its namespaces.
    if (root.isPresent() && lives(root.get())) {
      ipc(root.get());
      if (!inRuntime) {
        findings.addAll(MountObstacles.of(root.get()));
      }
      findings.addAll(ShmSurvey.obstacles(root.get()));
      findings.addAll(CgroupObstacles.of(root.get(), inRuntime));
    }
    place();
  }

  private static boolean lives(int pid) {
    try {
      return TaskStat.ofProcess(pid).state() != 'Z';
    } catch (NoSuchFileException ended) {
      return false;
    }
  }

  /** The process whose parent is not among them. */
  private Optional<Integer> root() {
    var processes = processes();
    for (int pid : pids) {
      try {
        if (!processes.contains(TaskStat.ofProcess(pid).parent())) {
          return Optional.of(pid);
        }
      } catch (NoSuchFileException ended) {
        continue;
      }
    }
    return Optional.empty();
  }

  /** Their ids, under which they need not be looked at. */
  private Set<Integer> processes() {
    Set<Integer> processes = new HashSet<>();
    for (int pid : pids) {
      try {
        processes.add((int) TaskStatus.ofProcess(pid).number("Tgid"));
      } catch (NoSuchFileException ended) {
        continue;
      }
    }
    return processes;
  }

  /** Much of a container is known by its first process's id. */
  private void endedMain(int root) throws NoSuchFileException {
    var status = TaskStatus.ofProcess(root);
    if (status.number("Tgid") != root) {
      findings.add(
          new Finding(
              root,
              -1,
              "ended main thread",
              "the main thread of the container's first process has ended while others run on;"
                  + " only other processes can be recreated like that, so start it under a shell or tini(1)"));
    }
  }

  private void ipc(int root) {
    IpcNamespace.Contents contents;
    try {
      contents = IpcNamespace.of(root);
    } catch (KernelException e) {
      if (lives(root)) {
        throw e;
      }
      return;
    }
    findings.addAll(IpcObstacles.of(root, contents));
  }

  /** Whether stubs can be given their places in the tree. */
  private void place() {
    var members = tree(pids);
    if (members.isEmpty()) {
      return;
    }
    for (TreeMember member : members) {
      boolean root = members.stream().noneMatch(other -> other.pid() == member.ppid());
      if (!root && (member.sid() == 0 || member.pgid() == 0) && members.stream().noneMatch(other -> other.sid() == 0 && other != member)) {
        findings.add(
            new Finding(
                0, -1, "session outside", "process " + member.pid() + " of the container belongs to a session or group outside it"));
      }
    }
    try {
      TreePlan.complete(members);
    } catch (CheckpointException impossible) {
      findings.add(new Finding(0, -1, "process tree", impossible.getMessage()));
    }
  }
}
