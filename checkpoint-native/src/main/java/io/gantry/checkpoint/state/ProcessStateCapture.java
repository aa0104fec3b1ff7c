package io.gantry.checkpoint.state;

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
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;
import java.util.function.IntUnaryOperator;

/**
 * Captures what stopped processes are besides their memory and descriptors. Mostly from outside; one batch of calls for each process and
 * one small batch for each thread are run inside. Tracer thread only.
 */
final class ProcessStateCapture {

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
    try {
      return captureOf(process, parent);
    } catch (IOException e) {
      throw new CheckpointException("process " + process.pid() + " ended while its state was being captured", e);
    }
  }

  private process_state captureOf(ProcessContext process, int parent) throws IOException {
    Map<Integer, Integer> inside = new HashMap<>();
    process.threads().forEach(thread -> inside.put(thread.task().tid(), thread.nsTid()));
    IntUnaryOperator tidInside = tid -> inside.getOrDefault(tid, process.nsPid());
    var state = process_state.newBuilder().setTree(place(process, parent)).setFs(FileSystemState.capture(process.pid()));
    int user = userNamespace.applyAsInt(process.pid());
    if (user != 0) {
      state.setUserNamespace(user);
    }
    long sharedPending = signals(process);
    for (ThreadContext thread : process.threads()) {
      var core = threads.capture(thread, sharedPending);
      if (thread == process.leader()) {
        core.setTc(ProcessAttributes.capture(process, tidInside)).setIds(ids(process.nsPid()));
        if (process.ended().isPresent()) {
          state.addThreads(EndedMain.capture(process.ended().get().pid(), core.build(), threads.maps()));
          core.clearTc().clearIds();
        }
      } else if (!Kcmp.sameFileSystemContext(process.pid(), thread.task().tid())) {
        core.getThreadCoreBuilder().setFs(FileSystemState.captureThread(process.pid(), thread.task().tid()));
      }
      state.addThreads(core);
    }
    return state.build();
  }

  private static pstree_entry place(ProcessContext process, int parent) throws IOException {
    var status = TaskStatus.ofProcess(process.pid());
    var entry =
        pstree_entry.newBuilder()
            .setPid(process.nsPid())
            .setPpid(parent)
            .setPgid(status.innermost("NSpgid"))
            .setSid(status.innermost("NSsid"));
    int terminal = TaskStat.ofProcess(process.pid()).pseudoTerminal();
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
