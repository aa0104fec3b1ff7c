package io.gantry.checkpoint.state;

import java.util.List;
import java.util.Optional;

/**
 * A stopped process, as far as ptrace can tell.
 *
 * @param threads the main thread first, or, when that has ended, the one through which the process is looked at
 * @param pending {@code siginfo_t}s of the signals pending for the whole process, in order
 * @param groupStopSignal the signal that stopped it before we did (job control), or 0
 * @param ended the main thread, when it has ended before the others
 */
record ProcessContext(List<ThreadContext> threads, List<byte[]> pending, int groupStopSignal, Optional<Ended> ended) {
  ProcessContext {
    threads = List.copyOf(threads);
  }

  /** A process whose main thread lives. */
  ProcessContext(List<ThreadContext> threads, List<byte[]> pending, int groupStopSignal) {
    this(threads, pending, groupStopSignal, Optional.empty());
  }

  /** @param pid as the host counts; @param nsPid as the container counts */
  record Ended(int pid, int nsPid) {}

  ThreadContext leader() {
    return threads.getFirst();
  }

  /** Under which it is looked at, as the host counts. */
  int pid() {
    return leader().task().pid();
  }

  /** As the container counts. */
  int nsPid() {
    return ended.map(Ended::nsPid).orElseGet(() -> leader().nsTid());
  }
}
