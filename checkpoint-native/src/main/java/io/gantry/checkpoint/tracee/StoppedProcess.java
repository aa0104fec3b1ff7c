package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Signals;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/** One process of which we have stopped threads: all of them, unless it came from {@link StoppedTree#stopOne}. Tracer thread only. */
public final class StoppedProcess {
  /** Signals that do nothing when no handler is installed; the first that fits tells the tracer that a batch is done. */
  private static final int[] HARMLESS = {Signals.SIGURG, Signals.SIGWINCH, Signals.SIGCHLD};

  private final int pid;
  private final TaskStatus status;
  private final List<StoppedThread> threads = new ArrayList<>();
  private Optional<InjectionSite> site = Optional.empty();
  private int runs;

  StoppedProcess(int pid, TaskStatus status) {
    this.pid = pid;
    this.status = status;
  }

  void add(StoppedThread thread) {
    threads.add(thread);
  }

  /** Under which it is looked at, as the host counts: its own id, or that of a living thread when the main one has ended. */
  public int pid() {
    return pid;
  }

  /** Process id as the host counts. */
  public int processId() {
    return status.pid();
  }

  /** Whether the main thread has ended before the others. */
  public boolean mainHasEnded() {
    return status.pid() != pid;
  }

  /** Process id in the innermost pid namespace. */
  public int nsPid() {
    return status.nsProcess();
  }

  /** Parent as the host counts, when it was stopped. */
  public int parentPid() {
    return status.parentPid();
  }

  /** Stopped threads in the kernel's order, which is that of their creation; the main thread first unless it has ended. */
  public List<StoppedThread> threads() {
    return Collections.unmodifiableList(threads);
  }

  /** The thread in which calls for the whole process are best run: the main one if it lives. */
  public StoppedThread anyThread() {
    return leader().orElseGet(threads::getFirst);
  }

  /** The main thread, or the one through which the process is looked at; empty when it was not stopped. */
  public Optional<StoppedThread> leader() {
    return threads.stream().filter(thread -> thread.tid() == pid).findFirst();
  }

  /** The signal of the group stop that the process is in, or 0. */
  public int groupStopSignal() {
    return threads.getFirst().groupStopSignal();
  }

  /** {@code siginfo_t}s of signals pending for the whole process, in the order of their queue. */
  public List<byte[]> pendingSignals() {
    return Ptrace.pendingSignals(anyThread().tid(), true);
  }

  /** How often calls were run in this process since it was stopped, in whichever thread: each time costs two changes of context. */
  public int runs() {
    return runs;
  }

  void countRun() {
    runs++;
  }

  InjectionSite site(StoppedThread thread) {
    if (site.isEmpty()) {
      site =
          Optional.of(
              InjectionSite.install(thread, leader().map(StoppedThread::registers), thread.xsaveBytes()));
    }
    return site.get();
  }

  /** Takes everything out of the process that injection put there. */
  public void clean() {
    if (site.isPresent()) {
      site.get().remove(anyThread().tid());
      site = Optional.empty();
    }
  }

  /**
   * A signal that can come and go unnoticed: no handler, not pending, and best not blocked by the program either (who blocks a
   * signal may be waiting for it).
   */
  int meetingSignal(long blocked) {
    long unfit = status.caught() | status.pending();
    for (int signal : HARMLESS) {
      if (((unfit | blocked) & Signals.bit(signal)) == 0) {
        return signal;
      }
    }
    for (int signal : HARMLESS) {
      if ((unfit & Signals.bit(signal)) == 0) {
        return signal;
      }
    }
    // Discards pending stop signals, so it is only for processes that are not being stopped; Go programs catch all of the others.
    long stops = Signals.bit(Signals.SIGSTOP) | Signals.bit(Signals.SIGTSTP) | Signals.bit(Signals.SIGTTIN) | Signals.bit(Signals.SIGTTOU);
    if ((unfit & Signals.bit(Signals.SIGCONT)) == 0 && (status.pending() & stops) == 0 && groupStopSignal() == 0) {
      return Signals.SIGCONT;
    }
    for (int signal = 1; signal <= Signals.MAX; signal++) {
      if ((status.ignored() & ~unfit & Signals.bit(signal)) != 0 && signal != Signals.SIGCONT) {
        return signal;
      }
    }
    throw new CheckpointException(
        "process "
            + pid
            + " has a handler for every signal that could tell the tracer that an injected call is done"
            + " (SIGURG, SIGWINCH, SIGCHLD, SIGCONT, and none is ignored)");
  }

  @Override
  public String toString() {
    return "process " + pid + " (" + threads.size() + " threads)";
  }
}
