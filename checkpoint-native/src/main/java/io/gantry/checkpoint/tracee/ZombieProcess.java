package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.Directory;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * A process that has ended and that its parent has not reaped.
 *
 * @param pid as the host counts
 * @param nsPid in the innermost pid namespace
 * @param parentPid as the host counts
 */
public record ZombieProcess(int pid, int nsPid, int parentPid) {
  private static final int MANY = 64;

  /** The zombie children of stopped processes. */
  static List<ZombieProcess> childrenOf(List<StoppedProcess> processes) {
    var parents = processes.stream().map(StoppedProcess::processId).collect(Collectors.toSet());
    var found = new ArrayList<ZombieProcess>();
    for (int pid : candidates(processes)) {
      if (!parents.contains(pid)) {
        TaskStatus.read(Integer.toString(pid))
            .filter(status -> status.state() == 'Z' && parents.contains(status.parentPid()))
            .ifPresent(status -> found.add(new ZombieProcess(pid, status.nsPid(), status.parentPid())));
      }
    }
    return found;
  }

  /** Children are listed by the thread that made them. With many threads it costs less to look at every process of the host. */
  private static Set<Integer> candidates(List<StoppedProcess> processes) {
    var found = new LinkedHashSet<Integer>();
    int threads = processes.stream().mapToInt(process -> process.threads().size()).sum();
    if (threads > MANY) {
      int[] all = Directory.numbers("/proc");
      if (all.length < threads) {
        for (int pid : all) {
          found.add(pid);
        }
        return found;
      }
    }
    processes.forEach(process -> process.threads().forEach(thread -> found.addAll(ProcessList.childrenOfThread(process.pid(), thread.tid()))));
    return found;
  }
}
