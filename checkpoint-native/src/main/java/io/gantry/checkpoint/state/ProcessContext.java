package io.gantry.checkpoint.state;

import java.util.List;

/**
 * A stopped process, as far as ptrace can tell.
 *
 * @param threads the main thread first
 * @param pending {@code siginfo_t}s of the signals pending for the whole process, in order
 * @param groupStopSignal the signal that stopped it before we did (job control), or 0
 */
record ProcessContext(List<ThreadContext> threads, List<byte[]> pending, int groupStopSignal) {
  ProcessContext {
    threads = List.copyOf(threads);
  }

  ThreadContext leader() {
    return threads.getFirst();
  }

  int pid() {
    return leader().task().pid();
  }
}
