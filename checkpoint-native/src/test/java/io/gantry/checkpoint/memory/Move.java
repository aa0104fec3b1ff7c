package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.testing.Workload;
import io.gantry.checkpoint.procfs.TaskState;
import io.gantry.checkpoint.tracee.BlankStub;
import io.gantry.checkpoint.tracee.StoppedThread;
import io.gantry.checkpoint.tracee.StoppedProcess;
import io.gantry.checkpoint.tracee.StoppedTree;
import io.gantry.checkpoint.tracee.TracerThread;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import io.gantry.checkpoint.tracee.RemoteTask;

/** The memory of a real process tree, carried into stubs in this test. Ids are those of the host. */
final class Move implements AutoCloseable, StubProvider {
  static final Duration LIMIT = Duration.ofSeconds(20);

  final TracerThread sourceTracer = new TracerThread("tracer of the source");
  final TracerThread stubTracer = new TracerThread("tracer of the stubs");
  final MemoryCapture capture = new MemoryCapture();
  final MemoryArrival arrival = new MemoryArrival(this, work -> stubTracer.run(work, LIMIT));
  final LoopbackSink sink = new LoopbackSink(arrival);
  final Workload source;
  final Map<Integer, BlankStub> stubs = new HashMap<>();
  private final Workload blank = 
      // With glibc's restartable sequence registered, the kernel would miss it as soon as it is unmapped.
      Workload.run("blank", List.of("/usr/bin/env", "GLIBC_TUNABLES=glibc.pthread.rseq=0", Workload.compile("blank").toString()));
  private StoppedTree stopped;
  private int rounds;

  Move(Workload source) {
    this.source = source;
    blank.awaitLine("ready", LIMIT);
  }

  /** Live processes, parents before children. */
  List<ProcessRef> alive() {
    var all = new ArrayList<ProcessRef>();
    all.add(new ProcessRef(source.pid(), source.pid(), 0));
    for (int i = 0; i < all.size(); i++) {
      int parent = all.get(i).pid();
      ProcessHandle.of(parent).ifPresent(
          handle ->
              handle.children()
                  .filter(child -> !TaskState.ended((int) child.pid()))
                  .forEach(child -> all.add(new ProcessRef((int) child.pid(), (int) child.pid(), parent))));
    }
    return all;
  }

  MemoryCapture.Round round() {
    return capture.round(rounds++, alive(), this::whileStopped, sink);
  }

  void whileStopped(int pid, Consumer<RemoteTask> work) {
    sourceTracer.run(
        () -> {
          try (var thread = StoppedThread.stopOne(pid, LIMIT)) {
            work.accept(thread);
          }
        },
        LIMIT);
  }

  void freeze() {
    sourceTracer.run(() -> stopped = StoppedTree.stop(source.pid(), LIMIT), LIMIT);
  }

  void awaitRequests() {
    sourceTracer.run(
        () -> capture.awaitRequests(pid -> stopped.process(pid).map(StoppedProcess::anyThread)),
        LIMIT);
  }

  MemoryCapture.Round last() {
    var frozen = new ArrayList<FrozenProcess>();
    sourceTracer.run(
        () -> {
          for (var ref : alive()) {
            stopped.process(ref.pid()).ifPresent(process -> frozen.add(new FrozenProcess(ref, breakOf(process))));
          }
        },
        LIMIT);
    return capture.lastRound(rounds++, frozen, sink);
  }

  void finish() {
    arrival.processes().forEach(arrival::finish);
  }

  void thaw() {
    if (stopped != null) {
      sourceTracer.run(() -> stopped.close(), LIMIT);
      stopped = null;
    }
  }

  @Override
  public Stub stub(int nsPid) {
    // Not only the first process: one that is new and has replaced its program before it was announced is no clone of its parent either.
    var stub = stubs.isEmpty() ? BlankStub.of(blank.pid()) : stubs.values().iterator().next().fork();
    stubs.put(nsPid, stub);
    return stub;
  }

  @Override
  public Stub fork(int parentNsPid, int nsPid) {
    var stub = stubs.get(parentNsPid).fork();
    stubs.put(nsPid, stub);
    return stub;
  }

  @Override
  public void remove(int nsPid) {
    stubs.remove(nsPid).kill();
  }

  int stubOf(int pid) {
    return stubs.get(pid).pid();
  }


  @Override
  public void close() {
    try {
      capture.close();
      thaw();
      arrival.close();
    } finally {
      // Traced with EXITKILL: the stubs die with their tracer thread.
      stubTracer.close();
      sourceTracer.close();
      blank.close();
      source.close();
    }
  }

  private static long breakOf(StoppedProcess process) {
    long programBreak = process.anyThread().call("brk", SyscallNumber.BRK, 0);
    process.clean();
    return programBreak;
  }
}
