package io.gantry.checkpoint.state;

import io.gantry.checkpoint.Ahead;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.core_entry;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.image.pstree_entry;
import io.gantry.checkpoint.image.task_core_entry;
import io.gantry.checkpoint.image.task_kobj_ids_entry;
import io.gantry.checkpoint.linux.Kcmp;
import io.gantry.checkpoint.linux.Scheduling;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.procfs.TaskStat;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.tracee.StoppedThread;
import io.gantry.checkpoint.tracee.Together;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntFunction;
import java.util.function.IntUnaryOperator;

/**
 * Captures what stopped processes are besides their memory and descriptors. Mostly from outside; one batch of calls is run inside for each process, and a
 * small one for each of its other threads: those of several processes, and of several threads, at the same time. Tracer thread only.
 */
final class ProcessStateCapture {
  /** With fewer threads a second one of ours would cost more than it gains. */
  private static final int MANY = 64;

  private final ThreadStateCapture threads;
  private final IntUnaryOperator userNamespace;

  /** As below, in this agent's user namespace. */
  ProcessStateCapture(long frozenAtNs) {
    this(frozenAtNs, IdMaps.IDENTITY, pid -> 0);
  }

  /**
   * @param frozenAtNs when the container was stopped, as {@link System#nanoTime}
   * @param maps of the container's own user namespace
   * @param userNamespace number of the one that a process is in, 0 for the container's own
   */
  ProcessStateCapture(long frozenAtNs, IdMaps maps, IntUnaryOperator userNamespace) {
    // Process 1 of the host may run everywhere unless somebody has taken CPUs out of use altogether.
    this.threads = new ThreadStateCapture(Scheduling.affinity(1), frozenAtNs, maps);
    this.userNamespace = userNamespace;
  }

  /** The seccomp filters of all processes so far. */
  SeccompFilters filters() {
    return threads.filters();
  }

  /** @param parent the container's number of the parent, 0 for the first process */
  process_state capture(ProcessContext process, int parent) {
    try (var together = new Together(1)) {
      var asked = ask(process, parent, together);
      together.finish();
      return asked.answered();
    }
  }

  /**
   * Makes a process answer what only it can, and its threads.
   *
   * @param parent the container's number of the parent, 0 for the first process
   * @param together in which other processes answer
   */
  Asked ask(ProcessContext process, int parent, Together together) {
    return new Asked(process, parent, together);
  }

  /** A process that is being asked. */
  final class Asked {
    private final ProcessContext process;
    private final int parent;
    private final List<ThreadStateCapture.Asked> askedThreads = new ArrayList<>();
    private final ProcessAttributes.Asked attributes;

    private Asked(ProcessContext process, int parent, Together together) {
      this.process = process;
      this.parent = parent;
      long sharedPending = signals(process);
      var leader = process.leader();
      var batch = leader.task().newBatch();
      askedThreads.add(threads.ask(leader, sharedPending, batch));
      attributes = ProcessAttributes.ask(batch);
      together.add(leader.task(), batch);
      if (process.threads().size() > 1) {
        // The main thread's answers lie where the first lane is.
        together.finish();
        askOthers(sharedPending);
      }
    }

    private void askOthers(long sharedPending) {
      var stopped = Optional.of(process.leader().task()).filter(StoppedThread.class::isInstance).map(StoppedThread.class::cast);
      int lanes = stopped.map(StoppedThread::lanes).orElse(1);
      var others = process.threads().subList(1, process.threads().size());
      try (var statuses = ahead("status", others.size(), i -> ThreadStateCapture.status(others.get(i)));
          var lane = new Together(lanes)) {
        for (int i = 0; i < others.size(); i++) {
          var thread = others.get(i);
          int number = i % lanes;
          var batch = stopped.map(any -> any.laneBatch(number)).orElseGet(thread.task()::newBatch);
          askedThreads.add(threads.ask(thread, statuses.get(i), sharedPending, batch));
          lane.add(thread.task(), batch);
        }
        lane.finish();
      }
    }

    private <T> Ahead<T> ahead(String what, int count, IntFunction<T> work) {
      return count < MANY ? Ahead.notAtAll(count, work) : Ahead.begin(what + " of process " + process.pid(), count, work);
    }

    /** What is known of each thread; one half of many is put together beside the other. */
    private List<core_entry.Builder> cores() {
      var cores = new ArrayList<core_entry.Builder>(askedThreads.size());
      int half = askedThreads.size() / 2;
      try (var second = ahead("threads", askedThreads.size() - half, i -> core(askedThreads.get(half + i)))) {
        for (int i = 0; i < askedThreads.size(); i++) {
          cores.add(i < half ? core(askedThreads.get(i)) : second.get(i - half));
        }
      }
      return cores;
    }

    private core_entry.Builder core(ThreadStateCapture.Asked asked) {
      var core = asked.answered();
      int tid = asked.thread().task().tid();
      if (asked.thread() != process.leader() && !Kcmp.sameFileSystemContext(process.pid(), tid)) {
        try {
          core.getThreadCoreBuilder().setFs(FileSystemState.captureThread(process.pid(), tid));
        } catch (IOException e) {
          throw new CheckpointException(
              "thread " + tid + " of process " + process.pid() + " ended while its state was being captured", e);
        }
      }
      return core;
    }

    /** Everything, when its batches have run. */
    process_state answered() {
      try {
        return state(this);
      } catch (IOException e) {
        throw new CheckpointException("process " + process.pid() + " ended while its state was being captured", e);
      }
    }

    /** Where its heap ends; when its batches have run. */
    long programBreak() {
      return attributes.programBreak();
    }
  }

  private process_state state(Asked asked) throws IOException {
    var process = asked.process;
    Map<Integer, Integer> inside = new HashMap<>();
    process.threads().forEach(thread -> inside.put(thread.task().tid(), thread.nsTid()));
    IntUnaryOperator tidInside = tid -> inside.getOrDefault(tid, process.nsPid());
    var status = asked.askedThreads.getFirst().status();
    var stat = TaskStat.ofProcess(process.pid());
    var state =
        process_state.newBuilder()
            .setTree(place(process, asked.parent, status, stat))
            .setFs(FileSystemState.capture(process.pid(), status));
    int user = userNamespace.applyAsInt(process.pid());
    if (user != 0) {
      state.setUserNamespace(user);
    }
    var cores = asked.cores();
    for (int i = 0; i < cores.size(); i++) {
      var core = cores.get(i);
      if (i == 0) {
        core.setTc(asked.attributes.answered(process, stat, tidInside)).setIds(ids(process.nsPid()));
        if (process.ended().isPresent()) {
          state.addThreads(EndedMain.capture(process.ended().get().pid(), core.build(), threads.maps()));
          core.clearTc().clearIds();
        }
      }
      state.addThreads(core);
    }
    return state.build();
  }

  private static pstree_entry place(ProcessContext process, int parent, TaskStatus status, TaskStat stat) {
    var entry =
        pstree_entry.newBuilder()
            .setPid(process.nsPid())
            .setPpid(parent)
            .setPgid(status.innermost("NSpgid"))
            .setSid(status.innermost("NSsid"));
    int terminal = stat.pseudoTerminal();
    if (terminal != 0) {
      entry.setTerminal(terminal);
    }
    process.ended().ifPresent(ended -> entry.addThreads(ended.nsPid()));
    process.threads().forEach(thread -> entry.addThreads(thread.nsTid()));
    return entry.build();
  }

  /** Nothing of these is shared between the processes of a container; {@link StateSurvey} has looked. */
  private static task_kobj_ids_entry ids(int pid) {
    return task_kobj_ids_entry.newBuilder().setVmId(pid).setFilesId(pid).setFsId(pid).setSighandId(pid).build();
  }

  private static long signals(ProcessContext process) {
    long set = 0;
    for (byte[] info : process.pending()) {
      int signal = ByteBuffer.wrap(info).order(ByteOrder.LITTLE_ENDIAN).getInt(0);
      set |= 1L << signal - 1;
    }
    return set;
  }

  /** A process that has ended and was not waited for. */
  static process_state captureZombie(int pid, int parent) {
    try {
      var status = TaskStatus.ofProcess(pid);
      var stat = TaskStat.ofProcess(pid);
      int inside = status.innermost("NSpid");
      return process_state.newBuilder()
          .setTree(
              pstree_entry.newBuilder()
                  .setPid(inside)
                  .setPpid(parent)
                  .setPgid(status.innermost("NSpgid"))
                  .setSid(status.innermost("NSsid"))
                  .addThreads(inside))
          .addThreads(
              core_entry.newBuilder()
                  .setMtype(core_entry.march.X86_64)
                  .setTc(
                      task_core_entry.newBuilder()
                          .setTaskState(ProcessAttributes.DEAD)
                          .setExitCode(stat.exitCode())
                          .setPersonality(0)
                          .setFlags(0)
                          .setBlkSigset(0)
                          .setComm(stat.name())))
          .build();
    } catch (IOException e) {
      throw new CheckpointException("zombie " + pid + " was waited for while its state was being captured", e);
    }
  }
}
