package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Clone3;
import io.gantry.checkpoint.linux.Directory;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.PidNamespace;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Wait;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Stops every thread of a changing set of processes: seize, interrupt, wait, and look again until nothing new appears. */
final class TreeStopper {
  /** A thread that has not stopped after this time may be waiting for a {@code vfork} child that we have stopped. */
  private static final long VFORK_NS = Duration.ofMillis(2).toNanos();

  private final ProcessList list;
  private final boolean mainThreadsOnly;
  private final long startNs = System.nanoTime();
  private final long endNs;

  /** Seized threads by id, in the order found. */
  private final Map<Integer, Tracee> seized = new LinkedHashMap<>();

  private final SchedulerClock clock = new SchedulerClock();
  private final Set<Integer> zombies = new HashSet<>();

  /** One seized thread. */
  private static final class Tracee {
    private final int pid;
    private final int tid;
    private final Optional<WaitObservation> observation;
    private boolean stopped;
    private int groupStopSignal;
    /** Let go on for a moment because its parent waits for it in {@code vfork}. */
    private boolean released;

    private Tracee(int pid, int tid, Optional<WaitObservation> observation) {
      this.pid = pid;
      this.tid = tid;
      this.observation = observation;
    }
  }

  /** What a thread did when it was asked to stop. */
  private enum Outcome {
    STOPPED,
    ENDED,
    RUNNING
  }

  /** @param mainThreadsOnly whether the other threads are to run on */
  TreeStopper(ProcessList list, boolean mainThreadsOnly, Duration limit) {
    this.list = list;
    this.mainThreadsOnly = mainThreadsOnly;
    this.endNs = startNs + limit.toNanos();
  }

  /** Stops everything; on failure everything runs on as before. */
  StoppedTree stop() {
    try {
      while (seizeNew()) {
        awaitStops();
      }
      if (seized.isEmpty()) {
        throw new CheckpointException("there is no living process, or no living main thread, to stop");
      }
      return collect();
    } catch (RuntimeException failed) {
      release();
      throw failed;
    }
  }

  private void release() {
    for (var tracee : seized.values()) {
      if (!tracee.stopped) {
        // Detaching needs a stop. One that does not come in time is let go when the tracer thread ends.
        Ptrace.interrupt(tracee.tid);
        if (!Wait.stopped(StopWait.await(tracee.tid, System.nanoTime() + VFORK_NS))) {
          continue;
        }
      }
      Ptrace.detach(tracee.tid, 0);
    }
  }

  private boolean seizeNew() {
    boolean found = false;
    for (int pid : list.now()) {
      for (int tid : mainThreadsOnly ? new int[] {pid} : Directory.numbers("/proc/" + pid + "/task")) {
        if (!seized.containsKey(tid) && !zombies.contains(tid)) {
          found |= seize(pid, tid);
        }
      }
    }
    return found;
  }

  private boolean seize(int pid, int tid) {
    var observation = WaitObservation.of(clock, pid, tid);
    int error = Ptrace.trySeize(tid, 0);
    if (error != 0) {
      var status = TaskStatus.read(pid + "/task/" + tid);
      if (status.isEmpty()) {
        return false;
      }
      if (status.get().state() == 'Z' || status.get().state() == 'X') {
        zombies.add(tid);
        return false;
      }
      throw status.get().tracerPid() > 0
          ? new CheckpointException(
              "thread " + tid + " of process " + pid + " is being traced by process " + status.get().tracerPid() + "; end that debugger first")
          : new KernelException("ptrace(SEIZE, thread " + tid + " of process " + pid + ")", -error);
    }
    seized.put(tid, new Tracee(pid, tid, observation));
    Ptrace.interrupt(tid);
    return true;
  }

  private void awaitStops() {
    long progressNs = System.nanoTime();
    for (int turn = 0; ; turn++) {
      int running = 0;
      boolean progress = false;
      for (var tracee : List.copyOf(seized.values())) {
        if (!tracee.stopped) {
          switch (look(tracee)) {
            case STOPPED -> {
              tracee.stopped = true;
              progress = true;
            }
            case ENDED -> {
              seized.remove(tracee.tid);
              progress = true;
            }
            case RUNNING -> running++;
          }
        }
      }
      if (running == 0) {
        return;
      }
      long now = System.nanoTime();
      if (progress) {
        progressNs = now;
        turn = 0;
      } else if (now >= endNs) {
        throw tooLate();
      } else if (now - progressNs > VFORK_NS) {
        helpVfork();
        progressNs = now;
      } else {
        StopWait.pause(turn);
      }
    }
  }

  private Outcome look(Tracee tracee) {
    while (true) {
      int status = Wait.poll(tracee.tid);
      if (status == Wait.NOTHING) {
        return Outcome.RUNNING;
      }
      if (!Wait.stopped(status)) {
        return Outcome.ENDED;
      }
      if (Wait.event(status) == Ptrace.EVENT_STOP) {
        int signal = Wait.stopSignal(status);
        tracee.groupStopSignal = signal == Signals.SIGTRAP ? 0 : signal;
        return Outcome.STOPPED;
      }
      // A signal was being delivered: let it be, our interrupt is still due and comes before the next user instruction.
      Ptrace.cont(tracee.tid, Wait.stopSignal(status));
    }
  }

  /** Lets children go on for whose {@code exec} or end a parent waits uninterruptibly, and stops them again afterwards. */
  private void helpVfork() {
    for (var tracee : seized.values()) {
      if (!tracee.stopped && !tracee.released && isInVfork(tracee)) {
        for (int child : ProcessList.childrenOfThread(tracee.pid, tracee.tid)) {
          var stopped = seized.get(child);
          if (stopped != null && stopped.stopped) {
            Ptrace.cont(child, 0);
            stopped.stopped = false;
            stopped.released = true;
          }
        }
      }
    }
    for (var tracee : seized.values()) {
      if (tracee.released && !tracee.stopped && parentHasStopped(tracee)) {
        tracee.released = false;
        Ptrace.interrupt(tracee.tid);
      }
    }
  }

  private boolean parentHasStopped(Tracee child) {
    int parent = TaskStatus.read(Integer.toString(child.pid)).map(TaskStatus::parentPid).orElse(0);
    return seized.values().stream().filter(tracee -> tracee.pid == parent).allMatch(tracee -> tracee.stopped);
  }

  private static boolean isInVfork(Tracee tracee) {
    String call =
        new String(
            Fd.readIfThere("/proc/" + tracee.pid + "/task/" + tracee.tid + "/syscall").orElse(new byte[0]), StandardCharsets.US_ASCII);
    if (call.isEmpty() || !Character.isDigit(call.charAt(0))) {
      return false;
    }
    String[] fields = call.split(" ");
    return switch (Integer.parseInt(fields[0])) {
      case SyscallNumber.VFORK, SyscallNumber.CLONE3 -> true;
      case SyscallNumber.CLONE -> (Long.decode(fields[1]) & Clone3.VFORK) != 0;
      default -> false;
    };
  }

  private CheckpointException tooLate() {
    var tracee = seized.values().stream().filter(t -> !t.stopped).findFirst().orElseThrow();
    var state = TaskStatus.read(tracee.pid + "/task/" + tracee.tid).map(TaskStatus::state).orElse('?');
    return new CheckpointException(
        "thread "
            + tracee.tid
            + " of process "
            + tracee.pid
            + " has not stopped within "
            + (System.nanoTime() - startNs) / 1_000_000
            + " ms; its state is "
            + state
            + (state == 'D' ? ": it waits in the kernel for a disk or a network file system, try again later" : ""));
  }

  private StoppedTree collect() {
    var threads = new LinkedHashMap<Integer, List<Tracee>>();
    for (var tracee : seized.values()) {
      threads.computeIfAbsent(tracee.pid, pid -> new ArrayList<>()).add(tracee);
    }
    var processes = new LinkedHashMap<Integer, StoppedProcess>();
    threads.forEach((pid, tracees) -> processes.put(pid, collect(pid, tracees)));
    return new StoppedTree(List.copyOf(processes.values()), zombieChildren(processes.keySet()));
  }

  private static StoppedProcess collect(int pid, List<Tracee> tracees) {
    var status =
        TaskStatus.read(Integer.toString(pid))
            .orElseThrow(() -> new CheckpointException("process " + pid + " was killed while it was being stopped"));
    var process = new StoppedProcess(pid, status);
    try (var namespace = PidNamespace.of(pid)) {
      for (var tracee : tracees) {
        var thread = new StoppedThread(process, tracee.tid, tidInside(namespace, pid, tracee.tid), tracee.groupStopSignal);
        tracee.observation.ifPresent(observation -> thread.blockedSinceNs(observation.confirm(thread)));
        process.add(thread);
      }
    }
    return process;
  }

  private static List<ZombieProcess> zombieChildren(Set<Integer> parents) {
    var dead = new ArrayList<ZombieProcess>();
    for (int pid : parents) {
      for (int child : ProcessList.children(pid)) {
        if (!parents.contains(child)) {
          TaskStatus.read(Integer.toString(child))
              .filter(status -> status.state() == 'Z')
              .ifPresent(status -> dead.add(new ZombieProcess(child, status.nsPid(), pid)));
        }
      }
    }
    return List.copyOf(dead);
  }

  static int tidInside(PidNamespace namespace, int pid, int tid) {
    int inside = namespace.tidInside(tid);
    if (inside != -Errno.ENOTTY) {
      return inside;
    }
    // Before Linux 6.11.
    return TaskStatus.read(pid + "/task/" + tid)
        .map(TaskStatus::nsPid)
        .orElseThrow(() -> new CheckpointException("thread " + tid + " of process " + pid + " was killed"));
  }
}
