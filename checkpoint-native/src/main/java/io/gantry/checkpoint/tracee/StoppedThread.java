package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Wait;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/**
 * One thread of a running program that we have stopped. Only the tracer thread that stopped it may use it.
 *
 * <p>{@link #run} is shaped like a signal, so that the program survives the agent's death at any instant: registers first (they
 * point to a complete {@code rt_sigframe}), then the signal mask; and afterwards the mask first, then the registers.
 */
public final class StoppedThread implements StartedTask, AutoCloseable {
  private static final long RUN_MAX_NS = Duration.ofSeconds(10).toNanos();
  private static final long INTERRUPT_MAX_NS = Duration.ofSeconds(2).toNanos();

  /** {@code si_code} of a signal sent by {@code tgkill} ({@code asm-generic/siginfo.h}). */
  private static final int SI_TKILL = -6;

  /** Eflags in the injected code: interrupts on, direction up, no single step. */
  private static final long PLAIN_EFLAGS = 0x202;

  private static final long CODE_SELECTOR_64 = 0x33;


  private final StoppedProcess process;
  private final int tid;
  private final int nsTid;
  private final int groupStopSignal;
  private final Ptrace.RseqConfiguration rseq;
  /** What was seen of it before the stop, until it is known whether that still holds. */
  private Optional<WaitObservation> observation = Optional.empty();

  private OptionalLong blockedSinceNs = OptionalLong.empty();
  private Registers registers;
  private byte[] xsave;
  private OptionalLong signalMask = OptionalLong.empty();
  private Optional<StoppedTree> alone = Optional.empty();

  /**
   * @param rseqSection the critical section that it has announced, from {@link Rseq#sections}, or 0
   */
  StoppedThread(StoppedProcess process, int tid, int nsTid, int groupStopSignal, Ptrace.RseqConfiguration rseq, long rseqSection) {
    this.process = process;
    this.tid = tid;
    this.nsTid = nsTid;
    this.groupStopSignal = groupStopSignal;
    registers = Registers.read(tid);
    this.rseq = rseq;
    if (registers.get(Registers.CS) != CODE_SELECTOR_64) {
      throw new CheckpointException(
          "thread " + tid + " of process " + process.pid() + " runs 32-bit code, which Gantry cannot carry; use a 64-bit program");
    }
    long continueAt = Rseq.continueAt(process.pid(), rseqSection, registers.instructionPointer());
    if (continueAt != registers.instructionPointer()) {
      setRegisters(registers.with(Registers.RIP, continueAt));
    }
  }

  /**
   * Stops the main thread of a running process for a short injection; the other threads run on. {@link #close()} lets it go.
   *
   * @param limit how long stopping may take
   */
  public static StoppedThread stopOne(int pid, Duration limit) {
    var tree = new TreeStopper(() -> Set.of(pid), true, limit).stop();
    var thread = tree.processes().getFirst().threads().getFirst();
    thread.alone = Optional.of(tree);
    return thread;
  }

  /** Lets a thread from {@link #stopOne} go on. A thread of a {@link StoppedTree} stays stopped with its tree. Idempotent. */
  @Override
  public void close() {
    alone.ifPresent(StoppedTree::close);
  }

  @Override
  public int pid() {
    return process.pid();
  }

  @Override
  public int tid() {
    return tid;
  }

  /** Thread id in the innermost pid namespace. */
  public int nsTid() {
    return nsTid;
  }

  public StoppedProcess process() {
    return process;
  }

  /** The signal of the group stop the thread is in ({@code SIGSTOP} and the like), or 0. */
  public int groupStopSignal() {
    return groupStopSignal;
  }

  /**
   * Registers with which the thread will go on. Inside an interrupted system call {@code rax} still is what the kernel left, such as
   * {@code -ERESTARTSYS}; inside a restartable sequence the instruction pointer is at its abort handler.
   */
  public Registers registers() {
    return registers;
  }

  public void setRegisters(Registers wanted) {
    wanted.write(tid);
    registers = wanted;
  }

  /** The whole XSAVE area in the standard form. */
  public byte[] xsave() {
    return area().clone();
  }

  int xsaveBytes() {
    return area().length;
  }

  private byte[] area() {
    if (xsave == null) {
      xsave = Ptrace.xsave(tid);
    }
    return xsave;
  }

  public void setXsave(byte[] wanted) {
    Ptrace.setXsave(tid, wanted);
    xsave = wanted.clone();
  }

  /** Blocked signals, bit n−1 for signal n. */
  public long signalMask() {
    if (signalMask.isEmpty()) {
      signalMask = OptionalLong.of(Ptrace.signalMask(tid));
    }
    return signalMask.getAsLong();
  }

  public void setSignalMask(long wanted) {
    Ptrace.setSignalMask(tid, wanted);
    signalMask = OptionalLong.of(wanted);
  }

  /** {@code siginfo_t}s of signals pending for this thread, in the order of their queue. */
  public List<byte[]> pendingSignals() {
    return Ptrace.pendingSignals(tid, false);
  }

  public Ptrace.RseqConfiguration rseqConfiguration() {
    return rseq;
  }

  /**
   * Since when (as {@link System#nanoTime}) the thread has been in the call it was stopped in; known only for calls with a time limit
   * that were seen before the stop and not left since.
   */
  public OptionalLong blockedSinceNs() {
    if (observation.isPresent()) {
      blockedSinceNs = observation.get().confirm(this);
      observation = Optional.empty();
    }
    return blockedSinceNs;
  }

  /**
   * The same, for who has just read how often the thread has gone to sleep: that saves reading it once more.
   *
   * @param switches {@code voluntary_ctxt_switches} of its status file; nothing counts that was read after calls were run in the thread
   */
  public OptionalLong blockedSinceNs(long switches) {
    if (observation.isPresent()) {
      blockedSinceNs = observation.get().confirm(this, switches);
      observation = Optional.empty();
    }
    return blockedSinceNs;
  }

  void seenWaiting(WaitObservation before) {
    observation = Optional.of(before);
  }

  @Override
  public CallBatch newBatch() {
    return process.site(this).newBatch();
  }

  /** How many threads of this process can run a batch of a lane at once. */
  public int lanes() {
    return process.site(this).lanes();
  }

  /**
   * A batch for {@link Together}, which may run in one thread of this process while batches of other lanes run in others; nothing else runs in the process
   * meanwhile.
   *
   * @param lane 0 to {@link #lanes} − 1
   * @return takes at least 24 calls and 1 KiB
   */
  public CallBatch laneBatch(int lane) {
    return process.site(this).laneBatch(lane);
  }

  @Override
  public void start(CallBatch batch) {
    int signal = process.meetingSignal(signalMask());
    try {
      begin(process.site(this), batch, new long[] {process.nsPid(), nsTid, signal});
      Ptrace.cont(tid, 0);
    } catch (RuntimeException failed) {
      putBack();
      throw failed;
    }
  }

  @Override
  public void complete(CallBatch batch) {
    try {
      awaitMeeting(process.meetingSignal(signalMask()));
    } finally {
      putBack();
    }
    batch.takeAnswers(pid());
    batch.requireSuccess("process " + pid());
  }

  @Override
  public void run(CallBatch batch) {
    var site = process.site(this);
    int signal = process.meetingSignal(signalMask());
    long[] meeting = {process.nsPid(), nsTid, signal};
    RuntimeException failed = null;
    try {
      begin(site, batch, meeting);
      boolean done = false;
      for (var call : batch.calls()) {
        if (call.meanwhile() != null) {
          resumeUntilMeeting(signal);
          if (Ptrace.registers(tid)[Registers.RBX] != batch.address() + (long) call.index() * CallBatch.ENTRY_BYTES) {
            // A required call before this one failed, and this is the end of the batch.
            done = true;
            break;
          }
          try {
            batch.takeResults(ByteBuffer.wrap(ProcessVm.read(pid(), batch.address(), batch.tableUsed())).order(ByteOrder.LITTLE_ENDIAN));
            call.meanwhile().run();
          } catch (RuntimeException thrown) {
            failed = thrown;
          }
        }
      }
      if (!done) {
        resumeUntilMeeting(signal);
      }
    } finally {
      putBack();
    }
    batch.takeAnswers(pid());
    if (failed != null) {
      throw failed;
    }
    batch.requireSuccess("process " + pid());
  }

  /** What a run does up to the point where the thread needs no tracer any more; for the test that takes the tracer away. */
  void abandon(CallBatch batch) {
    int signal = process.meetingSignal(signalMask());
    begin(process.site(this), batch, new long[] {process.nsPid(), nsTid, signal});
  }

  private void begin(InjectionSite site, CallBatch batch, long[] meeting) {
    // Before anything runs in the thread, which counts as another time that it slept.
    blockedSinceNs();
    process.countRun();
    prepare(site, batch, meeting);
    registers
        .with(Registers.RIP, site.code())
        .with(Registers.RSP, site.frame(batch.address()) + 8)
        .with(Registers.RBX, batch.address())
        .with(Registers.R14, batch.address())
        .with(Registers.R12, batch.size())
        .with(Registers.R15, site.endEntry(batch.address()))
        .with(Registers.EFLAGS, PLAIN_EFLAGS)
        .with(Registers.ORIG_RAX, -1)
        .write(tid);
    Ptrace.setSignalMask(tid, ~Signals.bit((int) meeting[2]));
  }

  private void prepare(InjectionSite site, CallBatch batch, long[] meeting) {
    long frame = site.frame(batch.address());
    int tableAt = (int) (batch.address() - frame);
    byte[] bytes = new byte[tableAt + batch.tableUsed()];
    var out = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    SignalFrame.put(out, frame, registers, signalMask(), area());
    out.position((int) (site.endEntry(batch.address()) - frame));
    out.putLong(SyscallNumber.TGKILL).putLong(0).putLong(meeting[0]).putLong(meeting[1]).putLong(meeting[2]);
    out.position(tableAt);
    batch.putTable(out, meeting);
    ProcessVm.write(pid(), frame, bytes, batch.address() + batch.dataOffset(), batch.data(), batch.dataUsed());
  }

  private void resumeUntilMeeting(int signal) {
    Ptrace.cont(tid, 0);
    awaitMeeting(signal);
  }

  private void awaitMeeting(int signal) {
    long end = System.nanoTime() + RUN_MAX_NS;
    while (true) {
      int status = StopWait.await(tid, end);
      if (status == Wait.NOTHING) {
        interrupt();
        throw new CheckpointException(
            "calls injected into thread " + tid + " of process " + pid() + " did not end within " + RUN_MAX_NS / 1_000_000 + " ms");
      }
      if (!Wait.stopped(status)) {
        throw ended();
      }
      int stop = Wait.stopSignal(status);
      if (Wait.event(status) != 0) {
        Ptrace.cont(tid, 0); // a trap that was still due from an earlier stop of the process
        continue;
      }
      if (stop == signal) {
        if (isSentBy(process.nsPid(), Ptrace.signalInfo(tid))) {
          return;
        }
        Ptrace.cont(tid, 0); // someone else's, ignored by default
        continue;
      }
      if (stop == Signals.SIGSTOP) {
        Ptrace.cont(tid, stop); // cannot be blocked; the process will stand still when we let go of it
        continue;
      }
      throw new CheckpointException(
          "calls injected into thread " + tid + " of process " + pid() + " ended with signal " + stop + " at " + Registers.read(tid));
    }
  }

  /** Whether a process has sent itself a signal by {@code tgkill}. @param nsPid as it counts itself, which is how the kernel names the sender to it */
  static boolean isSentBy(int nsPid, byte[] siginfo) {
    var fields = ByteBuffer.wrap(siginfo).order(ByteOrder.LITTLE_ENDIAN);
    return fields.getInt(8) == SI_TKILL && fields.getInt(16) == nsPid;
  }

  private void interrupt() {
    Ptrace.interrupt(tid);
    int status = StopWait.await(tid, System.nanoTime() + INTERRUPT_MAX_NS);
    if (!Wait.stopped(status)) {
      throw ended();
    }
  }

  /** Mask first: if we die in between, the thread goes back by itself through the frame. */
  private void putBack() {
    try {
      Ptrace.setSignalMask(tid, signalMask());
      registers.write(tid);
    } catch (KernelException gone) {
      if (gone.errno() == Errno.ESRCH) {
        throw ended();
      }
      throw gone;
    }
  }

  private CheckpointException ended() {
    return new CheckpointException("thread " + tid + " of process " + pid() + " was killed while calls were injected into it");
  }

  @Override
  public String toString() {
    return "thread " + tid + " of process " + pid();
  }
}
