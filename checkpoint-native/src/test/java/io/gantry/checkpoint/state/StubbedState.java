package io.gantry.checkpoint.state;

import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.Stub;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.stream.IntStream;

/** A stub that is given the state of a captured process, but none of its memory except what the kernel itself writes to. */
final class StubbedState {
  private static final long PAGE = 4096;
  /** {@code MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE}, {@code PROT_READ|PROT_WRITE} ({@code asm-generic/mman.h}). */
  private static final int FIXED = 0x02 | 0x20 | 0x100000;
  private static final int READ_WRITE = 3;

  private StubbedState() {}

  /** The state with ids 1, 2, 3… instead of its own. */
  static process_state renumbered(process_state state) {
    var renumbered = state.toBuilder();
    renumbered.getTreeBuilder().setPid(1).setPpid(0).setPgid(0).setSid(0).clearThreads();
    IntStream.rangeClosed(1, state.getThreadsCount()).forEach(renumbered.getTreeBuilder()::addThreads);
    var ids = renumbered.getThreadsBuilder(0).getIdsBuilder();
    ids.setVmId(1).setFilesId(1).setFsId(1).setSighandId(1);
    return renumbered.build();
  }

  /** Threads of the stub, in the order of the state's. */
  static List<RemoteTask> startThreads(Stub stub, process_state state) {
    var pages = new TreeSet<Long>();
    state.getThreadsList().forEach(thread -> pages.add(thread.getThreadCore().getRseqEntry().getRseqAbiPointer() & -PAGE));
    var batch = stub.newBatch();
    for (long page : pages) {
      if (page != 0) {
        if (!batch.fits(1, 0)) {
          stub.run(batch);
          batch = stub.newBatch();
        }
        batch.call("mmap", SyscallNumber.MMAP, page, PAGE, READ_WRITE, FIXED, -1, 0);
      }
    }
    stub.run(batch);
    List<RemoteTask> threads = new ArrayList<>();
    threads.add(stub);
    threads.addAll(stub.startThreads(IntStream.rangeClosed(2, state.getThreadsCount()).toArray()));
    return threads;
  }

  /** Captures a stub as if it were a running program that was stopped. */
  static process_state recapture(List<RemoteTask> threads) {
    var contexts = new ArrayList<ThreadContext>();
    for (int i = 0; i < threads.size(); i++) {
      contexts.add(ThreadContext.read(threads.get(i), i + 1));
    }
    var pending = io.gantry.checkpoint.linux.Ptrace.pendingSignals(threads.getFirst().tid(), true);
    return new ProcessStateCapture(System.nanoTime()).capture(new ProcessContext(contexts, pending, 0), 0);
  }
}
