package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.linux.IpcNamespace;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.TaskStat;
import io.gantry.checkpoint.procfs.TaskStatus;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What speaks against carrying processes, as far as neither their memory nor their descriptors are concerned. Looks from outside and stops
 * nothing; a process that ends meanwhile is left out. Any thread.
 */
public final class StateSurvey {
  private final List<Finding> findings = new ArrayList<>();
  private final List<Integer> pids;

  private StateSurvey(Collection<Integer> pids) {
    this.pids = List.copyOf(pids);
  }

  /**
   * Looks at all processes of a container.
   *
   * @param pids as the host counts
   * @return one entry for each reason; empty when everything can be carried
   */
  public static List<Finding> survey(Collection<Integer> pids) {
    var survey = new StateSurvey(pids);
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
                inside.put(pid, seen.status.innermost("NSpid"));
                found.add(seen);
              });
    }
    return found.stream().map(seen -> seen.member(inside)).toList();
  }

  private record Seen(TaskStatus status, TaskStat stat, List<Integer> threads) {
    TreeMember member(Map<Integer, Integer> inside) {
      return new TreeMember(
          status.innermost("NSpid"),
          inside.getOrDefault(status.parent(), 0),
          status.innermost("NSpgid"),
          status.innermost("NSsid"),
          threads,
          status.state() == 'Z',
          stat.startTicks());
    }
  }

  private static Optional<Seen> seen(int pid) {
    try {
      var threads = new ArrayList<Integer>();
      for (int tid : ProcText.numbers("/proc/" + pid + "/task")) {
        threads.add(TaskStatus.ofThread(pid, tid).innermost("NSpid"));
      }
      return Optional.of(new Seen(TaskStatus.ofProcess(pid), TaskStat.ofProcess(pid), threads));
    } catch (NoSuchFileException ended) {
      return Optional.empty();
    }
  }

  private void look() {
    var root = root();
    for (int pid : pids) {
      try {
        new ProcessObstacles(pid, findings).look();
        if (root.isPresent()) {
          new NamespaceObstacles(root.get(), findings).look(pid);
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
      findings.addAll(MountObstacles.of(root.get()));
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
    for (int pid : pids) {
      try {
        if (!pids.contains(TaskStat.ofProcess(pid).parent())) {
          return Optional.of(pid);
        }
      } catch (NoSuchFileException ended) {
        continue;
      }
    }
    return Optional.empty();
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
    int systemV = contents.sharedMemory() + contents.semaphores() + contents.messageQueues();
    if (systemV > 0) {
      findings.add(
          new Finding(
              0,
              -1,
              "System V IPC",
              "there are %d shared memory segments, %d semaphore sets and %d message queues; remove them with ipcrm(1)"
                  .formatted(contents.sharedMemory(), contents.semaphores(), contents.messageQueues())));
    }
    if (!contents.posixQueues().isEmpty()) {
      findings.add(
          new Finding(
              0, -1, "POSIX message queue", "there are message queues: " + contents.posixQueues() + "; let the program mq_unlink them"));
    }
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
