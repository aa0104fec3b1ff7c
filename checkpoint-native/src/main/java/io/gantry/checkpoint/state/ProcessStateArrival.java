package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.core_entry;
import io.gantry.checkpoint.image.creds_entry;
import io.gantry.checkpoint.image.fs_entry;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.image.seccomp_entry;
import io.gantry.checkpoint.image.siginfo_entry;
import io.gantry.checkpoint.image.thread_core_entry;
import io.gantry.checkpoint.image.utsns_entry;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Scheduling;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.JobStop;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.Stub;
import io.gantry.checkpoint.tracee.Together;
import java.nio.file.NoSuchFileException;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;

/**
 * Makes a stub what a captured process was, memory and descriptors aside. Order of calls, on the tracer thread:
 *
 * <pre>{@code
 * placeThreads        before recreate, which changes the process's root
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

  private static final int PR_GET_SECUREBITS = 27;

  private static final long ALL_SIGNALS = -1;

  /** Ignored by default, and nothing on a stub's way sends it. */
  private static final int MEETING_SIGNAL = Signals.SIGWINCH;

  /** With more supplementary groups a thread's batch may not fit into a lane. */
  private static final int LANE_GROUPS_MAX = 256;

  /** {@code linux/sched.h}. */
  private static final int CLONE_FS = 0x200;

  private static final int CLONE_FILES = 0x400;

  private final process_state state;
  private final List<RemoteTask> threads;
  private final long[][] registers;
  private final int capabilitiesMax;
  private Optional<List<Integer>> waiting = Optional.empty();
  private final seccomp_entry filters;
  private final Optional<IdMaps> within;

  /**
   * @param state what was captured
   * @param threads the stub's threads, in the order of {@code state.getTree().getThreadsList()}
   */
  public ProcessStateArrival(process_state state, List<? extends RemoteTask> threads) {
    this(state, threads, seccomp_entry.getDefaultInstance());
  }

  /** @param filters the seccomp filters of the whole container, to which threads refer by number */
  public ProcessStateArrival(process_state state, List<? extends RemoteTask> threads, seccomp_entry filters) {
    this(state, threads, filters, Optional.empty());
  }

  /**
   * As above, for a process that {@linkplain #become was made} the one it is to be and has then entered a user namespace.
   *
   * @param within how ids of the container are called in that namespace; empty when it has entered none
   */
  public ProcessStateArrival(
      process_state state, List<? extends RemoteTask> threads, seccomp_entry filters, Optional<IdMaps> within) {
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
    this.filters = filters;
    this.within = within;
    capabilitiesMax = capabilitiesMax();
  }

  /** Sets the container's host and domain name, which belong to all of its processes; once, in any stub that still has every right. */
  public static void setNames(RemoteTask task, utsns_entry names) {
    UtsNames.restore(task, names);
  }

  /**
   * Gives a stub the ids and groups of the process that it is to become, in whose user namespace it may not be able to take them; it keeps
   * its rights.
   */
  public static void become(RemoteTask stub, process_state state) {
    var batch = stub.newBatch();
    Credentials.become(batch, state.getThreads(0).getThreadCore().getCreds());
    stub.run(batch);
  }

  /**
   * Gives threads that have one a working directory, root and umask of their own, before the process's root changes, from which theirs do not count.
   *
   * @param enterRemoved brings a thread into a directory that has no name any more
   */
  public void placeThreads(BiConsumer<RemoteTask, fs_entry> enterRemoved) {
    for (int i = 1; i < threads.size(); i++) {
      var core = state.getThreads(i).getThreadCore();
      if (core.hasFs()) {
        var task = threads.get(i);
        task.call("unshare(CLONE_FS)", SyscallNumber.UNSHARE, CLONE_FS);
        enterRemoved.accept(task, core.getFs());
        var batch = task.newBatch();
        FileSystemState.restore(batch, core.getFs());
        task.run(batch);
      }
    }
  }

  /**
   * Gives a thread that is not the main one a descriptor table of its own, before there is anything in the process's.
   *
   * @param nsTid as the container counts
   * @return the thread; empty when it is none of this process's
   */
  public Optional<RemoteTask> separateTable(int nsTid) {
    for (int i = 1; i < threads.size(); i++) {
      if (state.getTree().getThreads(i) == nsTid) {
        threads.get(i).call("unshare(CLONE_FILES)", SyscallNumber.UNSHARE, CLONE_FILES);
        return Optional.of(threads.get(i));
      }
    }
    return Optional.empty();
  }

  /** Everything but time-outs, signal masks, scheduling and registers. */
  public void recreate() {
    recreateAll(List.of(this));
  }

  /**
   * The same for several processes, which are made to do it at the same time. Two batches for each process and one for each thread but the main one,
   * because hundreds of both are to be recreated within a pause.
   */
  public static void recreateAll(Collection<ProcessStateArrival> all) {
    var together = new Together(Together.USUALLY);
    all.forEach(arrival -> together.add(arrival.leader(), arrival.beginning()));
    together.finish();
    all.forEach(ProcessStateArrival::recreateThreads);
    all.forEach(arrival -> together.add(arrival.leader(), arrival.ending()));
    together.finish();
  }

  /** Before {@link #recreate}, for a process in another user namespace than this agent: what it could not do itself any more. */
  public void raiseLimits() {
    try {
      ProcessAttributes.raiseLimits(leader().pid(), state.getThreads(0).getTc());
    } catch (NoSuchFileException e) {
      throw new CheckpointException("the stub " + leader().pid() + " was killed", e);
    }
  }

  private RemoteTask leader() {
    return threads.getFirst();
  }

  private CallBatch beginning() {
    var core = state.getThreads(0).getTc();
    var batch = leader().newBatch();
    PendingSignals.blockAndDrain(batch);
    FileSystemState.restore(batch, state.getFs());
    ProcessAttributes.restore(batch, core);
    return batch;
  }

  private void recreateThreads() {
    var leader = leader();
    var core = state.getThreads(0).getTc();
    try {
      ProcessAttributes.restoreFromOutside(leader.pid(), core);
    } catch (NoSuchFileException e) {
      throw new CheckpointException("the stub " + leader.pid() + " was killed", e);
    }
    // Needs rights that the credentials may take away. The filters do not act before the tracer lets go (PTRACE_O_SUSPEND_SECCOMP).
    SeccompFilters.restore(filters, state, threads);
    int lanes = leader instanceof Stub stub ? stub.lanes() : 1;
    var own = threads.size() > 1 && within.isEmpty() ? ownCredentials(threads.get(1)) : Optional.<creds_entry>empty();
    var together = new Together(lanes);
    for (int i = 1; i < threads.size(); i++) {
      var task = threads.get(i);
      boolean fitsLane = state.getThreads(i).getThreadCore().getCreds().getGroupsCount() <= LANE_GROUPS_MAX;
      if (leader instanceof Stub stub && fitsLane) {
        var rest = sendMost(i, together);
        var batch = stub.laneBatch(i % lanes);
        addThread(batch, i, rest, own);
        together.add(task, batch);
      } else {
        together.finish();
        var rest = sendMost(i, together);
        var batch = task.newBatch();
        addThread(batch, i, rest, own);
        task.run(batch);
      }
    }
    together.finish();
    // From here on no thread would take a signal of the whole process.
    TimerState.restore(leader, core.getTimers());
    PendingSignals.restore(leader, state.getTree().getPid(), 0, core.getSignalsS());
  }

  /** Limits, what is the main thread's own, and what any change of ids would reset: behind the credentials of every thread. */
  private CallBatch ending() {
    var core = state.getThreads(0).getTc();
    var tree = state.getTree();
    var rest = PendingSignals.restoreMost(leader(), tree.getPid(), tree.getThreads(0), state.getThreads(0).getThreadCore().getSignalsP());
    var batch = leader().newBatch();
    ProcessAttributes.restoreLimits(batch, core);
    addThread(batch, 0, rest, Optional.empty());
    ProcessAttributes.restoreLate(batch, core);
    return batch;
  }

  /** What a thread of a stub has been born with, and all others of that stub. */
  private static Optional<creds_entry> ownCredentials(RemoteTask thread) {
    long securebits = thread.call("prctl(PR_GET_SECUREBITS)", SyscallNumber.PRCTL, PR_GET_SECUREBITS);
    try {
      var status = TaskStatus.ofThread(thread.pid(), thread.tid());
      return Optional.of(Credentials.capture(status, (int) securebits, IdMaps.of(thread.pid())));
    } catch (NoSuchFileException e) {
      throw new CheckpointException("the stub " + thread.pid() + " was killed", e);
    }
  }

  /** Sends what would not fit into one batch. */
  private List<siginfo_entry> sendMost(int index, Together together) {
    var signals = state.getThreads(index).getThreadCore().getSignalsP();
    if (signals.getSignalsCount() > PendingSignals.AT_ONCE) {
      together.finish();
    }
    return PendingSignals.restoreMost(threads.get(index), state.getTree().getPid(), state.getTree().getThreads(index), signals);
  }

  /** @param own what the thread has been born with, when that is known */
  private void addThread(CallBatch batch, int index, List<siginfo_entry> signals, Optional<creds_entry> own) {
    var entry = state.getThreads(index);
    var core = entry.getThreadCore();
    var tree = state.getTree();
    // The main thread takes what is sent to the process meanwhile. What is pending here must not be taken for the end of the batch.
    if (index > 0 && !PendingSignals.has(core.getSignalsP(), MEETING_SIGNAL)) {
      batch.meetBy(MEETING_SIGNAL);
      PendingSignals.blockAllBut(batch, MEETING_SIGNAL);
    } else {
      PendingSignals.block(batch);
    }
    batch.call("prctl(PR_SET_NAME)", SyscallNumber.PRCTL, PR_SET_NAME, batch.string(core.getComm()));
    batch.call("prctl(PR_SET_TIMERSLACK)", SyscallNumber.PRCTL, PR_SET_TIMERSLACK, core.getTimerSlackNs());
    registrations(batch, entry);
    ThreadAttributes.restore(batch, core);
    PendingSignals.send(batch, tree.getPid(), tree.getThreads(index), signals);
    if (within.isPresent()) {
      var main = state.getThreads(0).getThreadCore().getCreds();
      Credentials.restoreWithin(batch, core.getCreds(), main, within.get(), capabilitiesMax);
    } else if (own.filter(core.getCreds()::equals).isEmpty()) {
      // Each change of them makes the kernel copy them all, for each of thousands of threads.
      Credentials.restore(batch, core.getCreds(), capabilitiesMax);
    }
    batch.call("prctl(PR_SET_PDEATHSIG)", SyscallNumber.PRCTL, PR_SET_PDEATHSIG, core.getPdeathSig());
  }

  /** From outside, and late: until then a thread has the agent's own priority, so that building it does not wait for what else runs on the host. */
  private void schedule(int index, int ioPriority) {
    var core = state.getThreads(index).getThreadCore();
    int tid = threads.get(index).tid();
    if (core.hasSchedAttr()) {
      Scheduling.setAttributes(tid, core.getSchedAttr().toByteArray());
    }
    if (core.hasSchedNice() && !(core.hasSchedAttr() && Scheduling.hasNice(core.getSchedAttr().toByteArray()))) {
      Scheduling.setNice(tid, core.getSchedNice());
    }
    if (core.getIoPriority() != ioPriority) {
      Scheduling.setIoPriority(tid, core.getIoPriority());
    }
    if (core.hasAffinity()) {
      // EINVAL: none of these CPUs is here. Running anywhere beats not running.
      Scheduling.setAffinity(tid, core.getAffinity().toByteArray());
    }
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
    rearmAll(List.of(this));
  }

  /** The same for several processes at the same time; the threads of one take turns, since they do it in the same place. */
  public static void rearmAll(Collection<ProcessStateArrival> all) {
    int most = all.stream().mapToInt(arrival -> arrival.waiting().size()).max().orElse(0);
    for (int turn = 0; turn < most; turn++) {
      int now = turn;
      var due = all.stream().filter(arrival -> arrival.waiting().size() > now).toList();
      var outcomes =
          CallRearming.rearm(
              due.stream()
                  .map(
                      arrival -> {
                        int thread = arrival.waiting().get(now);
                        var call = arrival.state.getThreads(thread).getThreadCore().getInterruptedCall();
                        return new CallRearming.Waiting(arrival.threads.get(thread), call, arrival.registers[thread]);
                      })
                  .toList());
      for (int i = 0; i < due.size(); i++) {
        due.get(i).registers[due.get(i).waiting().get(now)] = outcomes.get(i);
      }
    }
  }

  /** Threads, by their place, that were in a call with a time-out. */
  private List<Integer> waiting() {
    if (waiting.isEmpty()) {
      waiting = Optional.of(IntStream.range(0, registers.length).filter(this::needsRearming).boxed().toList());
    }
    return waiting.get();
  }

  /** Whether {@link #rearmCalls} ends the use of the bench in this thread (an index into the thread list). */
  public boolean needsRearming(int thread) {
    return state.getThreads(thread).getThreadCore().hasInterruptedCall();
  }

  /** The last act: XSAVE area, signal mask, registers and scheduling of every thread, and the stop that a stopped process was in. */
  public void armAndSetRegisters() {
    // The other threads have what the main one had when it made them (copy_io in kernel/fork.c).
    int ioPriority = Scheduling.ioPriority(threads.getFirst().tid());
    for (int i = 0; i < registers.length; i++) {
      var entry = state.getThreads(i);
      int tid = threads.get(i).tid();
      var fpregs = entry.getThreadInfo().getFpregs();
      int areaBytes = fpregs.hasXsaveArea() ? 0 : Ptrace.xsave(tid).length;
      Ptrace.setXsave(tid, XsaveArea.fromEntry(fpregs, areaBytes));
      Ptrace.setSignalMask(tid, isStopped() ? ALL_SIGNALS : entry.getThreadCore().getBlkSigset());
      Ptrace.setRegisters(tid, registers[i]);
      schedule(i, ioPriority);
    }
    int pid = threads.getFirst().pid();
    if (isStopped()) {
      // What is pending waits for SIGCONT, as it did: so nothing may be delivered before the stop.
      JobStop.stop(threads.stream().map(RemoteTask::tid).toList());
      for (int i = 0; i < registers.length; i++) {
        Ptrace.setSignalMask(threads.get(i).tid(), state.getThreads(i).getThreadCore().getBlkSigset());
      }
      return;
    }
    var core = state.getThreads(0).getTc();
    PendingSignals.sendLast(pid, core.getSignalsS());
    state.getThreadsList().forEach(thread -> PendingSignals.sendLast(pid, thread.getThreadCore().getSignalsP()));
  }

  /**
   * How a main thread that has ended before others comes to its end again, as soon as it runs; nothing when it has not.
   *
   * @param systemCall where a {@code syscall} instruction lies in the process
   */
  public void endMainAt(long systemCall) {
    if (EndedMain.is(state.getThreads(0))) {
      registers[0] = EndedMain.ending(state.getThreads(0), registers[0], systemCall);
    }
  }

  /** Whether job control has stopped it. */
  public boolean isStopped() {
    return state.getThreads(0).getTc().getTaskState() == ProcessAttributes.STOPPED;
  }

  /**
   * Takes the report that a child has stopped, if the child's parent had taken it before; when the child has stopped, and while this process can
   * still run calls.
   */
  public void knowStopped(ProcessStateArrival child) {
    if (child.state.getThreads(0).getTc().getStopReported()) {
      boolean signalWaits =
          state.getThreads(0).getTc().getSignalsS().getSignalsList().stream()
              .anyMatch(entry -> ThreadStateCapture.littleEndian(entry.getSiginfo().toByteArray()).getInt(0) == Signals.SIGCHLD);
      JobReports.tell(threads.getFirst(), child.state.getTree().getPid(), signalWaits);
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
