package io.gantry.checkpoint.state;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.core_entry;
import io.gantry.checkpoint.image.rseq_entry;
import io.gantry.checkpoint.image.siginfo_entry;
import io.gantry.checkpoint.image.signal_queue_entry;
import io.gantry.checkpoint.image.thread_core_entry;
import io.gantry.checkpoint.image.thread_info_x86;
import io.gantry.checkpoint.image.thread_sas_entry;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.RobustList;
import io.gantry.checkpoint.linux.Scheduling;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.tracee.TimedWaits;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.NoSuchFileException;
import java.util.List;
import java.util.OptionalLong;

/** Captures what belongs to one thread: from outside what can be seen from outside, and five calls in one batch for the rest. */
final class ThreadStateCapture {
  private static final int PR_GET_PDEATHSIG = 2;
  private static final int PR_GET_SECUREBITS = 27;
  private static final int PR_GET_TIMERSLACK = 30;
  private static final int PR_GET_TID_ADDRESS = 40;
  private static final int STACK_T_BYTES = 24;
  /** {@code SS_ONSTACK}: only says that the stack is in use, and is refused when it is set. */
  private static final int SS_ONSTACK = 1;
  private static final int INSTRUCTIONS_BYTES = 7;

  private final byte[] allCpus;
  private final long frozenAtNs;
  private final IdMaps maps;
  private final SeccompFilters filters = new SeccompFilters();

  /**
   * @param allCpus the affinity of who may run everywhere
   * @param frozenAtNs when the container was stopped, {@link System#nanoTime}
   * @param maps of the container's own user namespace
   */
  ThreadStateCapture(byte[] allCpus, long frozenAtNs, IdMaps maps) {
    this.allCpus = allCpus;
    this.frozenAtNs = frozenAtNs;
    this.maps = maps;
  }

  /** Of the container's own user namespace. */
  IdMaps maps() {
    return maps;
  }

  /** The filters of all threads so far. */
  SeccompFilters filters() {
    return filters;
  }

  /** @param sharedPending signals pending for the whole process, which this thread might be the one to take */
  core_entry.Builder capture(ThreadContext thread, long sharedPending) {
    try {
      return captureOf(thread, sharedPending);
    } catch (NoSuchFileException e) {
      throw new CheckpointException("thread " + thread.task().tid() + " of process " + thread.task().pid() + " was killed", e);
    }
  }

  private core_entry.Builder captureOf(ThreadContext thread, long sharedPending) throws NoSuchFileException {
    var task = thread.task();
    var status = TaskStatus.ofThread(task.pid(), task.tid());
    var continuation = continuation(thread, sharedPending, status);
    var robust = RobustList.of(task.tid());
    var batch = task.newBatch();
    long tidAddressAt = batch.reserve(8);
    long stackAt = batch.reserve(STACK_T_BYTES);
    long deathSignalAt = batch.reserve(4);
    batch.call("prctl(PR_GET_TID_ADDRESS)", SyscallNumber.PRCTL, PR_GET_TID_ADDRESS, tidAddressAt);
    batch.call("sigaltstack", SyscallNumber.SIGALTSTACK, 0, stackAt);
    batch.call("prctl(PR_GET_PDEATHSIG)", SyscallNumber.PRCTL, PR_GET_PDEATHSIG, deathSignalAt);
    var slack = batch.call("prctl(PR_GET_TIMERSLACK)", SyscallNumber.PRCTL, PR_GET_TIMERSLACK);
    var securebits = batch.call("prctl(PR_GET_SECUREBITS)", SyscallNumber.PRCTL, PR_GET_SECUREBITS);
    var attributes = ThreadAttributes.ask(batch);
    task.run(batch);

    byte[] scheduling = Scheduling.attributes(task.tid());
    var schedulingFields = ByteBuffer.wrap(scheduling).order(ByteOrder.LITTLE_ENDIAN);
    var core =
        thread_core_entry.newBuilder()
            .setFutexRla(robust.head())
            .setFutexRlaLen((int) robust.length())
            .setSchedNice(Scheduling.nice(task.tid()))
            .setSchedPolicy(schedulingFields.getInt(Scheduling.POLICY_AT))
            .setSchedPrio(schedulingFields.getInt(Scheduling.PRIORITY_AT))
            .setSchedAttr(ByteString.copyFrom(scheduling))
            .setIoPriority(Scheduling.ioPriority(task.tid()))
            .setBlkSigset(thread.signalMask())
            .setSas(alternateStack(batch.read(stackAt, STACK_T_BYTES)))
            .setPdeathSig(littleEndian(batch.read(deathSignalAt, 4)).getInt(0))
            .setSignalsP(queue(thread.pending()))
            .setCreds(Credentials.capture(status, (int) securebits.result(), maps))
            .setComm(status.text("Name"))
            .setTimerSlackNs(slack.result());
    attributes.record(core);
    byte[] affinity = Scheduling.affinity(task.tid());
    if (!java.util.Arrays.equals(affinity, allCpus)) {
      core.setAffinity(ByteString.copyFrom(affinity));
    }
    if (thread.rseq().address() != 0) {
      core.setRseqEntry(
          rseq_entry.newBuilder()
              .setRseqAbiPointer(thread.rseq().address())
              .setRseqAbiSize(thread.rseq().size())
              .setSignature(thread.rseq().signature()));
    }
    filters.capture(task, status, core);
    continuation.call().ifPresent(core::setInterruptedCall);
    return core_entry.newBuilder()
        .setMtype(core_entry.march.X86_64)
        .setThreadInfo(
            thread_info_x86.newBuilder()
                .setClearTidAddr(littleEndian(batch.read(tidAddressAt, 8)).getLong(0))
                .setGpregs(RegisterSet.toEntry(continuation.registers()))
                .setFpregs(XsaveArea.toEntry(thread.xsave())))
        .setThreadCore(core);
  }

  private InterruptedCall.Continuation continuation(ThreadContext thread, long sharedPending, TaskStatus status) {
    int pid = thread.task().pid();
    long[] registers = thread.registers();
    long ready = (status.set("SigPnd") | sharedPending) & ~thread.signalMask();
    boolean signalWaits = (ready & ~status.set("SigIgn")) != 0;
    var waited = thread.blockedSinceNs();
    return InterruptedCall.of(
        registers,
        registers[RegisterSet.AX] == InterruptedCall.RESTART_BLOCK ? instructions(pid, registers[RegisterSet.IP]) : new byte[0],
        TimedWaits.find(thread.task().tid(), registers),
        frozenAtNs,
        waited.isPresent() ? OptionalLong.of(Math.max(0, frozenAtNs - waited.getAsLong())) : waited,
        signalWaits,
        address -> {
          var timespec = littleEndian(ProcessVm.read(pid, address, 16));
          return Math.addExact(Math.multiplyExact(timespec.getLong(0), 1_000_000_000L), timespec.getLong(8));
        });
  }

  private static byte[] instructions(int pid, long instructionPointer) {
    try {
      return ProcessVm.read(pid, instructionPointer - INSTRUCTIONS_BYTES, INSTRUCTIONS_BYTES);
    } catch (KernelException executeOnly) {
      return new byte[0];
    }
  }

  private static thread_sas_entry alternateStack(byte[] bytes) {
    var in = littleEndian(bytes);
    // stack_t: void *ss_sp, int ss_flags, size_t ss_size
    return thread_sas_entry.newBuilder()
        .setSsSp(in.getLong(0))
        .setSsFlags(in.getInt(8) & ~SS_ONSTACK)
        .setSsSize(in.getLong(16))
        .build();
  }

  static signal_queue_entry queue(List<byte[]> signals) {
    var queue = signal_queue_entry.newBuilder();
    signals.forEach(info -> queue.addSignals(siginfo_entry.newBuilder().setSiginfo(ByteString.copyFrom(info))));
    return queue.build();
  }

  static ByteBuffer littleEndian(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }
}
