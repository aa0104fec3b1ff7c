package io.gantry.checkpoint.state;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.core_entry;
import io.gantry.checkpoint.image.creds_entry;
import io.gantry.checkpoint.image.rseq_entry;
import io.gantry.checkpoint.image.siginfo_entry;
import io.gantry.checkpoint.image.signal_queue_entry;
import io.gantry.checkpoint.image.thread_core_entry;
import io.gantry.checkpoint.image.thread_info_x86;
import io.gantry.checkpoint.image.thread_sas_entry;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.RobustList;
import io.gantry.checkpoint.linux.Scheduling;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.TimedWaits;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.NoSuchFileException;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Captures what belongs to one thread: from outside what can be seen from outside, and a dozen calls in one batch for the rest, which may run while others
 * are being asked.
 */
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

  /** Fields of the status file that {@link Credentials} are made of. */
  private static final List<String> CREDENTIALS =
      List.of("Uid", "Gid", "Groups", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb");

  /** Those of the thread before, which those of the next are likely to be equal to. */
  private volatile Optional<KnownCredentials> lastCredentials = Optional.empty();

  private record KnownCredentials(TaskStatus status, long securebits, creds_entry entry) {}

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

  /**
   * Looks at what can be seen from outside, and adds the questions that only the thread itself can answer.
   *
   * @param sharedPending signals pending for the whole process, which this thread might be the one to take
   * @param batch to be run in the thread, in which nothing was run before
   */
  Asked ask(ThreadContext thread, long sharedPending, CallBatch batch) {
    return ask(thread, status(thread), sharedPending, batch);
  }

  /** As above. @param status of the thread, from {@link #status}, read since it was stopped and before anything was run in it */
  Asked ask(ThreadContext thread, TaskStatus status, long sharedPending, CallBatch batch) {
    return new Asked(thread, status, sharedPending, batch);
  }

  /** Reads a thread's status file. Any thread. */
  static TaskStatus status(ThreadContext thread) {
    try {
      return TaskStatus.ofThread(thread.task().pid(), thread.task().tid());
    } catch (NoSuchFileException e) {
      throw new CheckpointException("thread " + thread.task().tid() + " of process " + thread.task().pid() + " was killed", e);
    }
  }

  /** A thread that is being asked. */
  final class Asked {
    private final ThreadContext thread;
    private final CallBatch batch;
    private final TaskStatus status;
    private final InterruptedCall.Continuation continuation;
    private final List<byte[]> pending;
    private final long tidAddressAt;
    private final long stackAt;
    private final long deathSignalAt;
    private final CallBatch.Call slack;
    private final CallBatch.Call securebits;
    private final ThreadAttributes attributes;
    private final thread_core_entry.Builder core = thread_core_entry.newBuilder();

    private Asked(ThreadContext thread, TaskStatus status, long sharedPending, CallBatch batch) {
      this.thread = thread;
      this.batch = batch;
      this.status = status;
      filters.capture(thread.task(), status, core);
      continuation = continuation(thread, sharedPending, status);
      pending = status.set("SigPnd") == 0 ? List.of() : thread.pending().get();
      tidAddressAt = batch.reserve(8);
      stackAt = batch.reserve(STACK_T_BYTES);
      deathSignalAt = batch.reserve(4);
      batch.call("prctl(PR_GET_TID_ADDRESS)", SyscallNumber.PRCTL, PR_GET_TID_ADDRESS, tidAddressAt);
      batch.call("sigaltstack", SyscallNumber.SIGALTSTACK, 0, stackAt);
      batch.call("prctl(PR_GET_PDEATHSIG)", SyscallNumber.PRCTL, PR_GET_PDEATHSIG, deathSignalAt);
      slack = batch.call("prctl(PR_GET_TIMERSLACK)", SyscallNumber.PRCTL, PR_GET_TIMERSLACK);
      securebits = batch.call("prctl(PR_GET_SECUREBITS)", SyscallNumber.PRCTL, PR_GET_SECUREBITS);
      attributes = ThreadAttributes.ask(batch);
    }

    ThreadContext thread() {
      return thread;
    }

    /** Before anything was run in it. */
    TaskStatus status() {
      return status;
    }

    /** Everything, when the batch has run; once. Any thread: nothing here needs the tracer. */
    core_entry.Builder answered() {
      return ThreadStateCapture.this.answered(this);
    }
  }

  private creds_entry credentials(TaskStatus status, long securebits) {
    var known = lastCredentials.filter(last -> last.securebits() == securebits && last.status().sameFields(status, CREDENTIALS));
    if (known.isEmpty()) {
      known = Optional.of(new KnownCredentials(status, securebits, Credentials.capture(status, (int) securebits, maps)));
      lastCredentials = known;
    }
    return known.get().entry();
  }

  private core_entry.Builder answered(Asked asked) {
    var thread = asked.thread;
    var task = thread.task();
    var batch = asked.batch;
    var robust = RobustList.of(task.tid());
    byte[] scheduling = Scheduling.attributes(task.tid());
    var schedulingFields = ByteBuffer.wrap(scheduling).order(ByteOrder.LITTLE_ENDIAN);
    var core =
        asked.core
            .setFutexRla(robust.head())
            .setFutexRlaLen((int) robust.length())
            .setSchedNice(Scheduling.hasNice(scheduling) ? schedulingFields.getInt(Scheduling.NICE_AT) : Scheduling.nice(task.tid()))
            .setSchedPolicy(schedulingFields.getInt(Scheduling.POLICY_AT))
            .setSchedPrio(schedulingFields.getInt(Scheduling.PRIORITY_AT))
            .setSchedAttr(ByteString.copyFrom(scheduling))
            .setIoPriority(Scheduling.ioPriority(task.tid()))
            .setBlkSigset(thread.signalMask())
            .setSas(alternateStack(batch.read(asked.stackAt, STACK_T_BYTES)))
            .setPdeathSig(littleEndian(batch.read(asked.deathSignalAt, 4)).getInt(0))
            .setSignalsP(queue(asked.pending))
            .setCreds(credentials(asked.status, asked.securebits.result()))
            .setComm(asked.status.text("Name"))
            .setTimerSlackNs(asked.slack.result());
    asked.attributes.record(core);
    byte[] affinity = Scheduling.affinity(task.tid());
    if (!Arrays.equals(affinity, allCpus)) {
      core.setAffinity(ByteString.copyFrom(affinity));
    }
    if (thread.rseq().address() != 0) {
      core.setRseqEntry(
          rseq_entry.newBuilder()
              .setRseqAbiPointer(thread.rseq().address())
              .setRseqAbiSize(thread.rseq().size())
              .setSignature(thread.rseq().signature()));
    }
    asked.continuation.call().ifPresent(core::setInterruptedCall);
    return core_entry.newBuilder()
        .setMtype(core_entry.march.X86_64)
        .setThreadInfo(
            thread_info_x86.newBuilder()
                .setClearTidAddr(littleEndian(batch.read(asked.tidAddressAt, 8)).getLong(0))
                .setGpregs(RegisterSet.toEntry(asked.continuation.registers()))
                .setFpregs(XsaveArea.toEntry(thread.xsave())))
        .setThreadCore(core);
  }

  private InterruptedCall.Continuation continuation(ThreadContext thread, long sharedPending, TaskStatus status) {
    int pid = thread.task().pid();
    long[] registers = thread.registers();
    // Asked only where it counts: this is done for each of thousands of threads.
    boolean signalWaits = registers[RegisterSet.AX] == -Errno.EINTR && signalWaits(thread, sharedPending, status);
    boolean replaced =
        registers[RegisterSet.AX] == InterruptedCall.RESTART_BLOCK
            && (int) registers[RegisterSet.ORIG_AX] == SyscallNumber.RESTART_SYSCALL;
    var waited = thread.blockedSinceNs().apply(status.voluntarySwitches());
    return InterruptedCall.of(
        registers,
        replaced ? instructions(pid, registers[RegisterSet.IP]) : new byte[0],
        TimedWaits.find(thread.task().tid(), registers),
        frozenAtNs,
        waited.isPresent() ? OptionalLong.of(Math.max(0, frozenAtNs - waited.getAsLong())) : waited,
        signalWaits,
        address -> {
          var timespec = littleEndian(ProcessVm.read(pid, address, 16));
          return Math.addExact(Math.multiplyExact(timespec.getLong(0), 1_000_000_000L), timespec.getLong(8));
        });
  }

  private static boolean signalWaits(ThreadContext thread, long sharedPending, TaskStatus status) {
    long ready = (status.set("SigPnd") | sharedPending) & ~thread.signalMask();
    return (ready & ~status.set("SigIgn")) != 0;
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
