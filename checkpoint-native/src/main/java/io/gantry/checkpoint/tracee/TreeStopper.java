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
import java.util.OptionalLong;
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

  /** How many threads have been let go on for a moment because a parent waits for them in {@code vfork}. */
  private int released;

  /** When the first thread was asked to stop: until then all of them have been running. */
  private OptionalLong firstStopNs = OptionalLong.empty();

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
    var fresh = new ArrayList<Tracee>();
    for (int pid : list.now()) {
      for (int tid : mainThreadsOnly ? new int[] {pid} : Directory.numbers("/proc/" + pid + "/task")) {
        if (!seized.containsKey(tid) && !zombies.contains(tid)) {
          // All of them are looked at before the first is stopped: that takes time in which the program still runs.
          fresh.add(new Tracee(pid, tid, WaitObservation.of(clock, pid, tid)));
        }
      }
    }
    boolean found = false;
    for (var tracee : fresh) {
      found |= seize(tracee);
    }
    if (found && firstStopNs.isEmpty()) {
      firstStopNs = OptionalLong.of(System.nanoTime());
    }
    for (var tracee : fresh) {
      Ptrace.interrupt(tracee.tid);
    }
    return found;
  }

  private boolean seize(Tracee tracee) {
    int error = Ptrace.trySeize(tracee.tid, SeccompSuspension.OPTION);
    if (error == 0) {
      seized.put(tracee.tid, tracee);
      return true;
    }
    var status = TaskStatus.read(tracee.pid + "/task/" + tracee.tid);
    if (status.isEmpty()) {
      return false;
    }
    if (status.get().state() == 'Z' || status.get().state() == 'X') {
      zombies.add(tracee.tid);
      return false;
    }
    throw status.get().tracerPid() > 0
        ? new CheckpointException(
            "thread "
                + tracee.tid
                + " of process "
                + tracee.pid
                + " is being traced by process "
                + status.get().tracerPid()
                + "; end that debugger first")
        : new KernelException("ptrace(SEIZE, thread " + tracee.tid + " of process " + tracee.pid + ")", -error);
  }

  /** One after the other: they stop about in the order in which they were asked to, and each look at a running one costs a call. */
  private void awaitStops() {
    do {
      for (var tracee : List.copyOf(seized.values())) {
        awaitStop(tracee);
      }
      // Help for a vfork may have let others go on that had been waited for already.
    } while (released > 0);
  }

  private void awaitStop(Tracee tracee) {
    long helpedNs = System.nanoTime();
    for (int turn = 0; seized.containsKey(tracee.tid) && !tracee.stopped; turn++) {
      var outcome = look(tracee);
      settle(tracee, outcome);
      if (outcome == Outcome.RUNNING) {
        long now = System.nanoTime();
        if (now >= endNs) {
          throw tooLate();
        }
        if (now - helpedNs > VFORK_NS) {
          helpVfork();
          helpedNs = now;
        }
        StopWait.pause(turn);
      }
    }
  }

  private void settle(Tracee tracee, Outcome outcome) {
    if (outcome == Outcome.RUNNING) {
      return;
    }
    if (tracee.released) {
      tracee.released = false;
      released--;
    }
    if (outcome == Outcome.STOPPED) {
      tracee.stopped = true;
    } else {
      seized.remove(tracee.tid);
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

  /** Lets children go on for whose {@code exec} or end a parent waits uninterruptibly, and asks them to stop again afterwards. */
  private void helpVfork() {
    for (var tracee : List.copyOf(seized.values())) {
      if (!tracee.stopped) {
        settle(tracee, look(tracee));
      }
    }
    for (var tracee : seized.values()) {
      if (!tracee.stopped && !tracee.released && isInVfork(tracee)) {
        for (int child : ProcessList.childrenOfThread(tracee.pid, tracee.tid)) {
          var stopped = seized.get(child);
          if (stopped != null && stopped.stopped) {
            Ptrace.cont(child, 0);
            stopped.stopped = false;
            stopped.released = true;
            released++;
          }
        }
      }
    }
    for (var tracee : seized.values()) {
      if (tracee.released && !parentIsInVfork(tracee)) {
        Ptrace.interrupt(tracee.tid);
      }
    }
  }

  private boolean parentIsInVfork(Tracee child) {
    int parent = TaskStatus.read(Integer.toString(child.pid)).map(TaskStatus::parentPid).orElse(0);
    return seized.values().stream().anyMatch(tracee -> tracee.pid == parent && isInVfork(tracee));
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
    return new StoppedTree(List.copyOf(processes.values()), firstStopNs.orElse(startNs));
  }

  private StoppedProcess collect(int pid, List<Tracee> tracees) {
    var status =
        TaskStatus.read(Integer.toString(pid))
            .orElseThrow(() -> new CheckpointException("process " + pid + " was killed while it was being stopped"));
    boolean mainStopped = mainThreadsOnly || tracees.stream().anyMatch(tracee -> tracee.tid == pid);
    int shown = mainStopped ? pid : tracees.getFirst().tid;
    var process = new StoppedProcess(shown, status);
    try (var namespace = PidNamespace.of(shown)) {
      var rseqs = tracees.stream().map(tracee -> Ptrace.rseqConfiguration(tracee.tid)).toList();
      long[] sections = Rseq.sections(shown, rseqs);
      for (int i = 0; i < tracees.size(); i++) {
        var tracee = tracees.get(i);
        int inside = tidInside(namespace, shown, tracee.tid);
        var thread = new StoppedThread(process, tracee.tid, inside, tracee.groupStopSignal, rseqs.get(i), sections[i]);
        tracee.observation.ifPresent(thread::seenWaiting);
        process.add(thread);
      }
    }
    return process;
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
