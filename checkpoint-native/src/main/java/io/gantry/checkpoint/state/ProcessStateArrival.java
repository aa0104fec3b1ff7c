package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.core_entry;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.image.thread_core_entry;
import io.gantry.checkpoint.image.utsns_entry;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Scheduling;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.nio.file.NoSuchFileException;
import java.util.List;

/**
 * Makes a stub what a captured process was, memory and descriptors aside. Order of calls, on the tracer thread:
 *
 * <pre>{@code
 * recreate            once all threads exist, memory has its content and final layout, descriptors are in place: needs the bench
 * rearmCalls          the last use of the bench in threads that were inside a call with a time-out
 *   … the bench is unmapped by calls in the main thread, if that was in no such call …
 * armAndSetRegisters  nothing may run in the stub afterwards
 * }</pre>
 */
public final class ProcessStateArrival {
  private static final int PR_SET_PDEATHSIG = 1;
  private static final int PR_SET_NAME = 15;
  private static final int PR_SET_TIMERSLACK = 29;

  private final process_state state;
  private final List<RemoteTask> threads;
  private final long[][] registers;
  private final int capabilitiesMax;

  /**
   * @param state what was captured
   * @param threads the stub's threads, in the order of {@code state.getTree().getThreadsList()}
   */
  public ProcessStateArrival(process_state state, List<? extends RemoteTask> threads) {
    if (threads.size() != state.getThreadsCount()) {
      throw new CheckpointException(
          "process %d has %d threads, but its stub has %d"
              .formatted(state.getTree().getPid(), state.getThreadsCount(), threads.size()));
    }
    this.state = state;
    this.threads = List.copyOf(threads);
    registers = new long[threads.size()][];
    for (int i = 0; i < registers.length; i++) {
      registers[i] = RegisterSet.fromEntry(state.getThreads(i).getThreadInfo().getGpregs());
    }
    capabilitiesMax = capabilitiesMax();
  }

  /** Sets the container's host and domain name, which belong to all of its processes; once, in any stub that still has every right. */
  public static void setNames(RemoteTask task, utsns_entry names) {
    UtsNames.restore(task, names);
  }

  /**
   * Everything but time-outs, signal masks and registers. One batch for each thread but the main one, because hundreds of threads are to be
   * recreated within a pause.
   */
  public void recreate() {
    var leader = threads.getFirst();
    var core = state.getThreads(0).getTc();
    PendingSignals.blockAndDrain(leader);
    var whole = leader.newBatch();
    FileSystemState.restore(whole, state.getFs());
    ProcessAttributes.restore(whole, core);
    leader.run(whole);
    try {
      ProcessAttributes.restoreFromOutside(leader.pid(), core);
    } catch (NoSuchFileException e) {
      throw new CheckpointException("the stub " + leader.pid() + " was killed", e);
    }
    for (int i = 1; i < threads.size(); i++) {
      recreateThread(i);
    }
    // From here on no thread would take a signal of the whole process.
    TimerState.restore(leader, core.getTimers());
    PendingSignals.restore(leader, state.getTree().getPid(), 0, core.getSignalsS());
    var limits = leader.newBatch();
    ProcessAttributes.restoreLimits(limits, core);
    leader.run(limits);
    recreateThread(0);
    // Behind the credentials of every thread: any change of ids resets it.
    var late = leader.newBatch();
    ProcessAttributes.restoreLate(late, core);
    leader.run(late);
  }

  private void recreateThread(int index) {
    var task = threads.get(index);
    var entry = state.getThreads(index);
    var core = entry.getThreadCore();
    if (core.hasSchedAttr()) {
      Scheduling.setAttributes(task.tid(), core.getSchedAttr().toByteArray());
    }
    if (core.hasSchedNice()) {
      Scheduling.setNice(task.tid(), core.getSchedNice());
    }
    Scheduling.setIoPriority(task.tid(), core.getIoPriority());
    if (core.hasAffinity()) {
      // EINVAL: none of these CPUs is here. Running anywhere beats not running.
      Scheduling.setAffinity(task.tid(), core.getAffinity().toByteArray());
    }
    var tree = state.getTree();
    var rest = PendingSignals.restoreMost(task, tree.getPid(), tree.getThreads(index), core.getSignalsP());
    var batch = task.newBatch();
    PendingSignals.block(batch);
    batch.call("prctl(PR_SET_NAME)", SyscallNumber.PRCTL, PR_SET_NAME, batch.string(core.getComm()));
    batch.call("prctl(PR_SET_TIMERSLACK)", SyscallNumber.PRCTL, PR_SET_TIMERSLACK, core.getTimerSlackNs());
    registrations(batch, entry);
    PendingSignals.send(batch, tree.getPid(), tree.getThreads(index), rest);
    Credentials.restore(batch, core.getCreds(), capabilitiesMax);
    batch.call("prctl(PR_SET_PDEATHSIG)", SyscallNumber.PRCTL, PR_SET_PDEATHSIG, core.getPdeathSig());
    task.run(batch);
  }

  private static void registrations(CallBatch batch, core_entry entry) {
    thread_core_entry core = entry.getThreadCore();
    batch.call("set_tid_address", SyscallNumber.SET_TID_ADDRESS, entry.getThreadInfo().getClearTidAddr());
    if (core.getFutexRla() != 0) {
      batch.call("set_robust_list", SyscallNumber.SET_ROBUST_LIST, core.getFutexRla(), core.getFutexRlaLen());
    }
    // stack_t: void *ss_sp, int ss_flags, size_t ss_size
    var stack = java.nio.ByteBuffer.allocate(24).order(java.nio.ByteOrder.LITTLE_ENDIAN);
    stack.putLong(core.getSas().getSsSp()).putInt(core.getSas().getSsFlags()).putInt(0).putLong(core.getSas().getSsSize());
    batch.call("sigaltstack", SyscallNumber.SIGALTSTACK, batch.bytes(stack.array()), 0);
    if (core.hasRseqEntry()) {
      var rseq = core.getRseqEntry();
      batch.call(
          "rseq", SyscallNumber.RSEQ, rseq.getRseqAbiPointer(), rseq.getRseqAbiSize(), 0, rseq.getSignature() & 0xffff_ffffL);
    }
  }

  /** Puts threads back into the calls with a time-out that the freeze interrupted. */
  public void rearmCalls() {
    for (int i = 0; i < registers.length; i++) {
      var core = state.getThreads(i).getThreadCore();
      if (core.hasInterruptedCall()) {
        registers[i] = CallRearming.rearm(threads.get(i), core.getInterruptedCall(), registers[i]);
      }
    }
  }

  /** Whether {@link #rearmCalls} ends the use of the bench in this thread (an index into the thread list). */
  public boolean needsRearming(int thread) {
    return state.getThreads(thread).getThreadCore().hasInterruptedCall();
  }

  /** The last act: XSAVE area, signal mask and registers of every thread, and the stop that a stopped process was in. */
  public void armAndSetRegisters() {
    for (int i = 0; i < registers.length; i++) {
      var entry = state.getThreads(i);
      int tid = threads.get(i).tid();
      var fpregs = entry.getThreadInfo().getFpregs();
      int areaBytes = fpregs.hasXsaveArea() ? 0 : Ptrace.xsave(tid).length;
      Ptrace.setXsave(tid, XsaveArea.fromEntry(fpregs, areaBytes));
      Ptrace.setSignalMask(tid, entry.getThreadCore().getBlkSigset());
      Ptrace.setRegisters(tid, registers[i]);
    }
    var core = state.getThreads(0).getTc();
    int pid = threads.getFirst().pid();
    PendingSignals.sendLast(pid, core.getSignalsS());
    state.getThreadsList().forEach(thread -> PendingSignals.sendLast(pid, thread.getThreadCore().getSignalsP()));
    if (core.getTaskState() == ProcessAttributes.STOPPED) {
      Signals.kill(pid, Signals.SIGSTOP);
    }
  }

  private static int capabilitiesMax() {
    try {
      return Integer.parseInt(ProcText.read("/proc/sys/kernel/cap_last_cap").strip());
    } catch (NoSuchFileException e) {
      throw new CheckpointException("/proc/sys/kernel/cap_last_cap is missing; is /proc mounted?", e);
    }
  }
}
