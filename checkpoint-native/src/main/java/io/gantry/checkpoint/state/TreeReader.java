package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.procfs.TaskStat;
import io.gantry.checkpoint.procfs.TaskStatus;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
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
   * @param pid as the host counts
   * @param parentPid as the host counts
   * @param member as the container counts; threads are not read: only the process's own id is among them
   */
  public record Placed(int pid, int parentPid, TreeMember member) {}

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

  private record Seen(int pid, int parentPid, int nsPid, int pgid, int sid, long startTicks) {}

  private static List<Seen> read(Collection<Integer> pids) {
    var found = new ArrayList<Seen>();
    for (int pid : pids) {
      try {
        var status = TaskStatus.ofProcess(pid);
        if (status.state() == 'Z' || status.state() == 'X') {
          continue;
        }
        var stat = TaskStat.ofProcess(pid);
        found.add(
            new Seen(
                pid,
                status.parent(),
                status.innermost("NSpid"),
                status.innermost("NSpgid"),
                status.innermost("NSsid"),
                stat.startTicks()));
      } catch (NoSuchFileException ended) {
        // It is not there any more, which is all there is to say about it.
      }
    }
    return found;
  }

  private static List<Placed> place(List<Seen> found) {
    Map<Integer, Integer> inside = new HashMap<>();
    found.forEach(process -> inside.put(process.pid(), process.nsPid()));
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
                        process.startTicks())))
        .sorted((a, b) -> Boolean.compare(a.member().ppid() != 0, b.member().ppid() != 0))
        .toList();
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
      return new Placed(pid, status.parent(), member);
    } catch (NoSuchFileException e) {
      throw new CheckpointException("zombie " + pid + " was waited for while the container stood still", e);
    }
  }
}
