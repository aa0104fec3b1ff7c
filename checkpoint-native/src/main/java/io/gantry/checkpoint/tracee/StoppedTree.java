package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Wait;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Optional;

/**
 * Processes of which every thread stands still. If the agent dies they run on by themselves, unless {@link #hold} has handed them to
 * the freezer. Only the tracer thread that stopped them may use it.
 */
public final class StoppedTree implements AutoCloseable {
  private static final long END_MAX_NS = Duration.ofSeconds(2).toNanos();

  private final List<StoppedProcess> processes;
  private final long firstStopNs;
  private Optional<List<ZombieProcess>> zombies = Optional.empty();
  private boolean released;

  /** @param firstStopNs when the first of them was asked to stop, {@link System#nanoTime} */
  StoppedTree(List<StoppedProcess> processes, long firstStopNs) {
    this.processes = processes;
    this.firstStopNs = firstStopNs;
  }

  /**
   * Stops every thread of every process of a cgroup. On failure all of them run on.
   *
   * @param cgroup absolute path of a directory of the cgroup v2 hierarchy
   * @param limit how long it may take; a process that waits in the kernel for a disk cannot be stopped before that is over
   */
  public static StoppedTree stop(Path cgroup, Duration limit) {
    return new TreeStopper(ProcessList.inCgroup(cgroup), false, limit).stop();
  }

  /** Stops a process and all its descendants. */
  public static StoppedTree stop(int rootPid, Duration limit) {
    return new TreeStopper(ProcessList.treeOf(rootPid), false, limit).stop();
  }

  /** A process and its descendants as they are now, as the host counts; zombies may be among them. */
  public static Collection<Integer> processesOf(int rootPid) {
    return ProcessList.treeOf(rootPid).now();
  }

  /** When the first thread was asked to stop, as {@link System#nanoTime}: what was looked at before that, was looked at while everything ran. */
  public long firstStopNs() {
    return firstStopNs;
  }

  /** Living processes, in the order in which they were found. */
  public List<StoppedProcess> processes() {
    return processes;
  }

  /** Processes that have ended and wait for one of {@link #processes} to reap them, as they were at the first call: the tree is one picture. */
  public List<ZombieProcess> zombies() {
    if (zombies.isEmpty()) {
      zombies = Optional.of(ZombieProcess.childrenOf(processes));
    }
    return zombies.get();
  }

  /** The process with that id as the host counts, or that is looked at under it. */
  public Optional<StoppedProcess> process(int pid) {
    return processes.stream().filter(process -> process.pid() == pid || process.processId() == pid).findFirst();
  }

  public int threadCount() {
    return processes.stream().mapToInt(process -> process.threads().size()).sum();
  }

  /** Gives back everything injection borrowed and lets all threads go on where they were. Idempotent. */
  public void resume() {
    prepareToLetGo();
    detach();
  }

  /** Hands everything to the freezer, which keeps it frozen whatever happens to the agent, and lets go of it. */
  public void hold(Freezer freezer, Duration limit) {
    prepareToLetGo();
    freezer.freeze(limit);
    detach();
  }

  private void prepareToLetGo() {
    if (!released) {
      for (var process : processes) {
        try {
          process.clean();
          InterruptedCalls.restart(process);
          process.threads().forEach(TimedWaits::remember);
        } catch (KernelException killed) {
          // Killed while it was stopped: nothing of it is left to put in order.
          if (killed.errno() != Errno.ESRCH) {
            throw killed;
          }
        }
      }
    }
  }

  private void detach() {
    if (!released) {
      released = true;
      for (var process : processes) {
        boolean killed = false;
        for (var thread : process.threads()) {
          killed |= Ptrace.detach(thread.tid(), 0) == -Errno.ESRCH;
        }
        if (killed) {
          acknowledgeEnd(process);
        }
      }
    }
  }

  /** A process that was killed while we traced it stays a zombie, unseen by its parent, until its tracer has seen its end. */
  private static void acknowledgeEnd(StoppedProcess process) {
    long end = System.nanoTime() + END_MAX_NS;
    for (var thread : process.threads().reversed()) {
      if (thread.tid() == process.pid() && process.parentPid() == ProcessHandle.current().pid()) {
        continue; // we are the parent as well, and whoever asks for the exit status is to find it
      }
      int status = StopWait.await(thread.tid(), end);
      while (Wait.stopped(status)) {
        status = StopWait.await(thread.tid(), end);
      }
    }
  }

  /** Resumes unless held. */
  @Override
  public void close() {
    resume();
  }
}
