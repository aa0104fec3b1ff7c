package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Directory;
import io.gantry.checkpoint.linux.PidNamespace;
import io.gantry.checkpoint.procfs.TaskStat;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.procfs.ThreadGroup;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/** Reads the places of a container's processes from {@code /proc}, while they run or stand still. Stateless; any thread. */
public final class TreeReader {
  /** A tree that forks faster than it can be read is read again this often. */
  private static final int ATTEMPTS_MAX = 20;

  private TreeReader() {}

  /**
   * A process and its place.
   *
   * @param pid under which it is looked at, as the host counts
   * @param parentPid as the host counts
   * @param member as the container counts; threads are not read: only the process's own id is among them
   * @param processId as the host counts; another than {@code pid} when the main thread has ended, see {@link ThreadGroup}
   */
  public record Placed(int pid, int parentPid, TreeMember member, int processId) {}

  /**
   * All living processes, the root first.
   *
   * @param pids asked for process ids as the host counts; asked again while the answer does not fit together
   * @throws CheckpointException when the tree keeps changing, or none is left
   */
  public static List<Placed> living(Supplier<? extends Collection<Integer>> pids) {
    for (int attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      var found = read(pids.get());
      if (found.isEmpty()) {
        throw new CheckpointException("the container has ended: no process of it is left");
      }
      var placed = place(found);
      if (placed.stream().filter(process -> process.member().ppid() == 0).count() == 1) {
        return placed;
      }
    }
    throw new CheckpointException(
        "the processes of the container start and end faster than they can be listed; tried " + ATTEMPTS_MAX + " times");
  }

  private record Seen(int pid, int processId, int parentPid, int nsPid, int pgid, int sid, long startTicks, int terminal) {}

  private static List<Seen> read(Collection<Integer> pids) {
    var found = new ArrayList<Seen>();
    for (int process : pids) {
      try {
        var status = TaskStatus.ofProcess(process);
        int pid = process;
        if (status.state() == 'Z') {
          pid = ThreadGroup.shownAs(process);
          if (pid == process) {
            continue;
          }
        }
        if (status.state() == 'X') {
          continue;
        }
        int processId = (int) status.number("Tgid");
        var stat = TaskStat.ofProcess(processId);
        found.add(
            new Seen(
                pid,
                processId,
                status.parent(),
                status.innermost("NStgid"),
                status.innermost("NSpgid"),
                status.innermost("NSsid"),
                stat.startTicks(),
                stat.pseudoTerminal()));
      } catch (NoSuchFileException ended) {
        // It is not there any more, which is all there is to say about it.
      }
    }
    return found;
  }

  private static List<Placed> place(List<Seen> found) {
    Map<Integer, Integer> inside = new HashMap<>();
    found.forEach(process -> inside.put(process.processId(), process.nsPid()));
    return found.stream()
        .map(
            process ->
                new Placed(
                    process.pid(),
                    process.parentPid(),
                    new TreeMember(
                        process.nsPid(),
                        inside.getOrDefault(process.parentPid(), 0),
                        process.pgid(),
                        process.sid(),
                        List.of(process.nsPid()),
                        false,
                        process.startTicks(),
                        process.terminal()),
                    process.processId()))
        .sorted((a, b) -> Boolean.compare(a.member().ppid() != 0, b.member().ppid() != 0))
        .toList();
  }

  /**
   * The threads that running processes have besides their main ones, both as the container counts; processes of one thread are left out. They may have
   * others a moment later.
   *
   * @param processes the root first
   */
  public static Map<Integer, int[]> otherThreads(List<Placed> processes) {
    Map<Integer, int[]> threads = new HashMap<>();
    try (var namespace = PidNamespace.of(processes.getFirst().pid())) {
      for (var process : processes) {
        int[] tids =
            Arrays.stream(Directory.numbers("/proc/" + process.pid() + "/task"))
                .filter(tid -> tid != process.processId())
                .map(namespace::tidInside)
                .filter(tid -> tid > 0)
                .toArray();
        if (tids.length > 0) {
          threads.put(process.member().pid(), tids);
        }
      }
    }
    return threads;
  }

  /**
   * A process that has ended and was not waited for.
   *
   * @param pid as the host counts
   * @param parent as the container counts
   */
  public static Placed zombie(int pid, int parent) {
    try {
      var status = TaskStatus.ofProcess(pid);
      int nsPid = status.innermost("NSpid");
      var member =
          new TreeMember(
              nsPid,
              parent,
              status.innermost("NSpgid"),
              status.innermost("NSsid"),
              List.of(nsPid),
              true,
              TaskStat.ofProcess(pid).startTicks());
      return new Placed(pid, status.parent(), member, pid);
    } catch (NoSuchFileException e) {
      throw new CheckpointException("zombie " + pid + " was waited for while the container stood still", e);
    }
  }
}
