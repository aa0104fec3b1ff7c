package io.gantry.checkpoint.state;

import io.gantry.checkpoint.image.rlimit_entry;
import io.gantry.checkpoint.image.sa_entry;
import io.gantry.checkpoint.image.task_core_entry;
import io.gantry.checkpoint.image.task_rlimits_entry;
import io.gantry.checkpoint.linux.ResourceLimit;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.ResourceLimits;
import io.gantry.checkpoint.procfs.TaskStat;
import io.gantry.checkpoint.tracee.CallBatch;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntUnaryOperator;

/** What belongs to a whole process: handlers, limits, and the attributes of {@code prctl(2)} ({@code linux/prctl.h}). */
final class ProcessAttributes {
  /** {@code task_state}. */
  static final int ALIVE = 1;
  static final int DEAD = 2;
  static final int STOPPED = 3;

  private static final int PR_GET_DUMPABLE = 3;
  private static final int PR_SET_DUMPABLE = 4;
  private static final int PR_SET_CHILD_SUBREAPER = 36;
  private static final int PR_GET_CHILD_SUBREAPER = 37;
  private static final int PR_SET_THP_DISABLE = 41;
  private static final int PR_GET_THP_DISABLE = 42;
  private static final int PR_SET_MDWE = 65;
  private static final int PR_GET_MDWE = 66;
  private static final int PR_SET_MEMORY_MERGE = 67;
  private static final int PR_GET_MEMORY_MERGE = 68;
  private static final int MEMBARRIER_CMD_GET_REGISTRATIONS = 1 << 9;
  /** The kernel's {@code struct sigaction}: handler, flags, restorer, mask. */
  private static final int SIGACTION_BYTES = 32;
  private static final int SIGSET_BYTES = 8;

  private ProcessAttributes() {}

  /** Signals that can have a handler, ascending: the order of {@code sigactions}. */
  private static List<Integer> handledSignals() {
    var signals = new ArrayList<Integer>();
    for (int signal = 1; signal <= Signals.MAX; signal++) {
      if (signal != Signals.SIGKILL && signal != Signals.SIGSTOP) {
        signals.add(signal);
      }
    }
    return signals;
  }

  /** What a process is being asked, in the batch of its main thread. */
  static final class Asked {
    private final CallBatch batch;
    private final long actionsAt;
    private final long subreaperAt;
    private final long itimersAt;
    private final CallBatch.Call dumpable;
    private final CallBatch.Call thpDisable;
    private final CallBatch.Call denyWriteExecute;
    private final CallBatch.Call merge;
    private final CallBatch.Call barriers;
    private final CallBatch.Call programBreak;

    private Asked(CallBatch batch) {
      this.batch = batch;
      actionsAt = askHandlers(batch);
      subreaperAt = batch.reserve(4);
      batch.call("prctl(PR_GET_CHILD_SUBREAPER)", SyscallNumber.PRCTL, PR_GET_CHILD_SUBREAPER, subreaperAt);
      dumpable = batch.call("prctl(PR_GET_DUMPABLE)", SyscallNumber.PRCTL, PR_GET_DUMPABLE);
      thpDisable = batch.attempt("prctl(PR_GET_THP_DISABLE)", SyscallNumber.PRCTL, PR_GET_THP_DISABLE, 0, 0, 0, 0);
      denyWriteExecute = batch.attempt("prctl(PR_GET_MDWE)", SyscallNumber.PRCTL, PR_GET_MDWE, 0, 0, 0, 0);
      merge = batch.attempt("prctl(PR_GET_MEMORY_MERGE)", SyscallNumber.PRCTL, PR_GET_MEMORY_MERGE, 0, 0, 0, 0);
      barriers = batch.attempt("membarrier", SyscallNumber.MEMBARRIER, MEMBARRIER_CMD_GET_REGISTRATIONS, 0, 0);
      itimersAt = TimerState.askItimers(batch);
      // An address below it changes nothing, and the answer is where it is (man 2 brk).
      programBreak = batch.call("brk", SyscallNumber.BRK, 0);
    }

    /** Everything, when the batch has run. */
    task_core_entry answered(ProcessContext process, TaskStat stat, IntUnaryOperator tidInside) throws NoSuchFileException {
      return entry(this, process, stat, tidInside);
    }

    /** Where the heap ends; when the batch has run. */
    long programBreak() {
      return programBreak.result();
    }
  }

  /** Adds the questions. */
  static Asked ask(CallBatch batch) {
    return new Asked(batch);
  }

  private static task_core_entry entry(Asked asked, ProcessContext process, TaskStat stat, IntUnaryOperator tidInside)
      throws NoSuchFileException {
    var leader = process.leader();
    int pid = process.pid();
    var batch = asked.batch;
    var timers = TimerState.itimers(batch, asked.itimersAt).addAllPosix(TimerState.posixTimers(leader.task(), tidInside));

    var core =
        task_core_entry.newBuilder()
            .setTaskState(process.groupStopSignal() == 0 ? ALIVE : STOPPED)
            .setExitCode(0)
            .setPersonality(Integer.parseUnsignedInt(ProcText.read("/proc/" + pid + "/personality").strip(), 16))
            .setFlags(0)
            .setBlkSigset(leader.signalMask())
            .setComm(stat.name())
            .setTimers(timers)
            .setRlimits(limits(pid))
            .setSignalsS(ThreadStateCapture.queue(process.pending()))
            .setOomScoreAdj(Integer.parseInt(ProcText.read("/proc/" + pid + "/oom_score_adj").strip()))
            .addAllSigactions(handlers(batch.read(asked.actionsAt, handledSignals().size() * SIGACTION_BYTES)))
            .setChildSubreaper(ThreadStateCapture.littleEndian(batch.read(asked.subreaperAt, 4)).getInt(0) != 0)
            .setMembarrierRegistrationMask((int) Math.max(0, asked.barriers.result()))
            .setDumpable((int) asked.dumpable.result())
            .setCoredumpFilter(Integer.parseUnsignedInt(ProcText.read("/proc/" + pid + "/coredump_filter").strip(), 16))
            .setThpDisable((int) Math.max(0, asked.thpDisable.result()))
            .setMemoryDenyWriteExecute((int) Math.max(0, asked.denyWriteExecute.result()))
            .setMemoryMerge(asked.merge.result() > 0);
    if (process.groupStopSignal() != 0) {
      core.setStopSigno(process.groupStopSignal());
    }
    return core.build();
  }

  private static long askHandlers(CallBatch batch) {
    var signals = handledSignals();
    long at = batch.reserve(signals.size() * SIGACTION_BYTES);
    for (int i = 0; i < signals.size(); i++) {
      batch.call("rt_sigaction", SyscallNumber.RT_SIGACTION, signals.get(i), 0, at + (long) i * SIGACTION_BYTES, SIGSET_BYTES);
    }
    return at;
  }

  private static List<sa_entry> handlers(byte[] bytes) {
    var in = ThreadStateCapture.littleEndian(bytes);
    var entries = new ArrayList<sa_entry>();
    while (in.hasRemaining()) {
      entries.add(
          sa_entry.newBuilder()
              .setSigaction(in.getLong())
              .setFlags(in.getLong())
              .setRestorer(in.getLong())
              .setMask(in.getLong())
              .build());
    }
    return entries;
  }

  private static task_rlimits_entry limits(int pid) throws NoSuchFileException {
    var limits = task_rlimits_entry.newBuilder();
    for (ResourceLimits.Limit limit : ResourceLimits.of(pid)) {
      limits.addRlimits(rlimit_entry.newBuilder().setCur(limit.soft()).setMax(limit.hard()));
    }
    return limits.build();
  }

  /** Handlers, memory attributes and what else may be set while the process still has every right. */
  static void restore(CallBatch batch, task_core_entry core) {
    batch.call("personality", SyscallNumber.PERSONALITY, core.getPersonality());
    var signals = handledSignals();
    for (int i = 0; i < core.getSigactionsCount(); i++) {
      var action = core.getSigactions(i);
      var bytes =
          ByteBuffer.allocate(SIGACTION_BYTES)
              .order(ByteOrder.LITTLE_ENDIAN)
              .putLong(action.getSigaction())
              .putLong(action.getFlags())
              .putLong(action.getRestorer())
              .putLong(action.getMask());
      batch.call(
          "rt_sigaction", SyscallNumber.RT_SIGACTION, signals.get(i), batch.bytes(bytes.array()), 0, SIGSET_BYTES);
    }
    batch.call(
        "prctl(PR_SET_CHILD_SUBREAPER)", SyscallNumber.PRCTL, PR_SET_CHILD_SUBREAPER, core.getChildSubreaper() ? 1 : 0, 0, 0, 0);
    if (core.getThpDisable() != 0) {
      // What PR_GET_THP_DISABLE answers: bit 0 "disabled", bit 1 "except where madvise asks for it" (Linux 6.18).
      batch.call("prctl(PR_SET_THP_DISABLE)", SyscallNumber.PRCTL, PR_SET_THP_DISABLE, 1, core.getThpDisable() & 2, 0, 0);
    }
    if (core.getMemoryMerge()) {
      batch.call("prctl(PR_SET_MEMORY_MERGE)", SyscallNumber.PRCTL, PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
    }
    for (int bit = 0; bit < 32; bit++) {
      if ((core.getMembarrierRegistrationMask() >>> bit & 1) != 0) {
        batch.call("membarrier", SyscallNumber.MEMBARRIER, 1L << bit, 0, 0);
      }
    }
  }

  /** What a change of ids would undo, or what would stand in the way before. */
  static void restoreLate(CallBatch batch, task_core_entry core) {
    // 2 ("only root may read the dump") cannot be asked for; the kernel itself sets it where fs.suid_dumpable says so.
    batch.call("prctl(PR_SET_DUMPABLE)", SyscallNumber.PRCTL, PR_SET_DUMPABLE, core.getDumpable() == 1 ? 1 : 0);
    if (core.getMemoryDenyWriteExecute() != 0) {
      batch.call("prctl(PR_SET_MDWE)", SyscallNumber.PRCTL, PR_SET_MDWE, core.getMemoryDenyWriteExecute(), 0, 0, 0);
    }
  }

  /** What others may set in a process. */
  static void restoreFromOutside(int pid, task_core_entry core) throws NoSuchFileException {
    String adjustment = "/proc/" + pid + "/oom_score_adj";
    // Lowering it needs CAP_SYS_RESOURCE even when nothing changes.
    if (Integer.parseInt(ProcText.read(adjustment).strip()) != core.getOomScoreAdj()) {
      ProcText.write(adjustment, Integer.toString(core.getOomScoreAdj()));
    }
    ProcText.write("/proc/" + pid + "/coredump_filter", "0x" + Integer.toHexString(core.getCoredumpFilter()));
  }

  /**
   * Raises maxima from outside, where the process is in another user namespace than this agent: whatever rights it has there, nobody in
   * it may.
   *
   * @param pid as the host counts
   */
  static void raiseLimits(int pid, task_core_entry core) throws NoSuchFileException {
    var now = ResourceLimits.of(pid);
    for (int resource = 0; resource < core.getRlimits().getRlimitsCount(); resource++) {
      long wanted = core.getRlimits().getRlimits(resource).getMax();
      if (Long.compareUnsigned(wanted, now.get(resource).hard()) > 0) {
        ResourceLimit.set(pid, resource, now.get(resource).soft(), wanted);
      }
    }
  }

  /** Behind everything that a limit could stand in the way of, and before the credentials, because raising one needs them. */
  static void restoreLimits(CallBatch batch, task_core_entry core) {
    for (int resource = 0; resource < core.getRlimits().getRlimitsCount(); resource++) {
      var limit = core.getRlimits().getRlimits(resource);
      var bytes = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(limit.getCur()).putLong(limit.getMax());
      batch.call(
          "prlimit of resource " + resource + " to " + Long.toUnsignedString(limit.getMax()),
          SyscallNumber.PRLIMIT64,
          0,
          resource,
          batch.bytes(bytes.array()),
          0);
    }
  }
}
