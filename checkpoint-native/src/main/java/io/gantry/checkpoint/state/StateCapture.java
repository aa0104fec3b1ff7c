package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.final_state;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.StoppedProcess;
import io.gantry.checkpoint.tracee.StoppedThread;
import io.gantry.checkpoint.tracee.StoppedTree;
import io.gantry.checkpoint.tracee.Together;
import io.gantry.checkpoint.tracee.ZombieProcess;
import io.gantry.checkpoint.user.UserNamespaces;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Captures what all processes of a stopped container are besides their memory and descriptors. Tracer thread only. */
public final class StateCapture {
  private StateCapture() {}

  /**
   * Captures everything.
   *
   * @param tree the whole container, stopped
   * @param frozenAtNs when it was stopped, as {@link System#nanoTime}; the time that timed calls have left counts from there
   * @return processes with parents before their children, and the container's names; descriptors are for others to add
   */
  public static final_state.Builder capture(StoppedTree tree, long frozenAtNs) {
    return capture(tree, frozenAtNs, new HashMap<>());
  }

  /**
   * As above.
   *
   * @param breaks is told where the heap of each process ends, by its id as the host counts
   */
  public static final_state.Builder capture(StoppedTree tree, long frozenAtNs, Map<Integer, Long> breaks) {
    var processes = parentsFirst(tree);
    if (processes.isEmpty()) {
      return final_state.newBuilder();
    }
    try (var users = UserNamespaces.of(processes.getFirst().pid(), processes.stream().map(StoppedProcess::pid).toList())) {
      return capture(tree, processes, frozenAtNs, breaks, users);
    }
  }

  private static final_state.Builder capture(
      StoppedTree tree, List<StoppedProcess> processes, long frozenAtNs, Map<Integer, Long> breaks, UserNamespaces users) {
    Map<Integer, Integer> inside = new HashMap<>();
    tree.processes().forEach(process -> inside.put(process.processId(), process.nsPid()));
    var capture = new ProcessStateCapture(frozenAtNs, users.maps(), pid -> number(users, pid));
    var state = final_state.newBuilder();
    var asked = new ArrayList<ProcessStateCapture.Asked>(processes.size());
    try (var together = new Together(Together.USUALLY)) {
      for (StoppedProcess process : processes) {
        asked.add(capture.ask(context(process), inside.getOrDefault(process.parentPid(), 0), together));
      }
      together.finish();
    }
    for (int i = 0; i < processes.size(); i++) {
      var process = processes.get(i);
      var captured = asked.get(i).answered();
      breaks.put(process.pid(), asked.get(i).programBreak());
      var parent = tree.process(process.parentPid());
      if (process.groupStopSignal() != 0 && parent.isPresent() && JobReports.isTold(parent.get().anyThread(), process.nsPid())) {
        captured = JobReports.markTold(captured);
      }
      state.addProcesses(captured);
      for (ZombieProcess zombie : tree.zombies()) {
        if (zombie.parentPid() == process.processId()) {
          state.addProcesses(ProcessStateCapture.captureZombie(zombie.pid(), process.nsPid()));
        }
      }
    }
    capture.filters().entry().ifPresent(state::setSeccomp);
    state.setUtsns(UtsNames.capture(processes.getFirst().anyThread()));
    return state.addAllUserNamespaces(users.entries());
  }

  private static int number(UserNamespaces users, int pid) {
    try {
      return users.number(pid);
    } catch (CheckpointException impossible) {
      throw new CheckpointException("process " + pid + ": " + impossible.getMessage(), impossible);
    }
  }

  /**
   * Looks for what can only be seen of a stopped thread, while the others still run.
   *
   * @throws CheckpointException when it cannot be carried
   */
  public static void requireCarriable(RemoteTask task) {
    SeccompFilters.requireCarriable(task);
    Keyrings.requireCarriable(task);
  }

  /** One process alone, as its parent sees it. */
  static process_state capture(StoppedProcess process, long frozenAtNs) {
    return new ProcessStateCapture(frozenAtNs).capture(context(process), 0);
  }

  private static List<StoppedProcess> parentsFirst(StoppedTree tree) {
    Map<Integer, List<StoppedProcess>> children = new HashMap<>();
    var queue = new ArrayDeque<StoppedProcess>();
    for (StoppedProcess process : tree.processes()) {
      if (tree.process(process.parentPid()).isEmpty()) {
        queue.add(process);
      } else {
        children.computeIfAbsent(process.parentPid(), parent -> new ArrayList<>()).add(process);
      }
    }
    var ordered = new ArrayList<StoppedProcess>();
    while (!queue.isEmpty()) {
      var next = queue.remove();
      ordered.add(next);
      queue.addAll(children.getOrDefault(next.processId(), List.of()));
    }
    return ordered;
  }

  private static ProcessContext context(StoppedProcess process) {
    var threads = new ArrayList<ThreadContext>();
    threads.add(context(process.anyThread()));
    for (StoppedThread thread : process.threads()) {
      if (thread.tid() != process.pid()) {
        threads.add(context(thread));
      }
    }
    var ended =
        process.mainHasEnded() ? Optional.of(new ProcessContext.Ended(process.processId(), process.nsPid())) : Optional.<ProcessContext.Ended>empty();
    return new ProcessContext(threads, process.pendingSignals(), process.groupStopSignal(), ended);
  }

  private static ThreadContext context(StoppedThread thread) {
    return new ThreadContext(
        thread,
        thread.nsTid(),
        thread.registers().toArray(),
        thread.xsave(),
        thread.signalMask(),
        thread::pendingSignals,
        thread.rseqConfiguration(),
        thread::blockedSinceNs);
  }
}
