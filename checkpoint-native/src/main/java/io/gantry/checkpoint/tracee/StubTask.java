package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Wait;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;

/**
 * A stopped thread of a stub. It dies with the agent (EXITKILL), so nothing in here has to survive that. Threads of one stub share its
 * bench and therefore run one at a time, but for those that {@link Together} gives a lane each. Tracer thread only.
 */
public abstract sealed class StubTask implements StartedTask permits Stub, StubThread {
  static final long RUN_MAX_NS = Duration.ofSeconds(30).toNanos();

  private static final long ALL_SIGNALS = -1;

  private final int tid;
  private final int nsTid;
  /** Registers as they were when the task was new: segments, flags and bases to run code with. */
  private final Registers fresh;

  StubTask(int tid, int nsTid) {
    this.tid = tid;
    this.nsTid = nsTid;
    this.fresh = Registers.read(tid);
  }

  /** The process this thread belongs to. */
  abstract Stub stub();

  @Override
  public int pid() {
    return stub().tid();
  }

  @Override
  public int tid() {
    return tid;
  }

  /** Thread id in the innermost pid namespace. */
  public int nsTid() {
    return nsTid;
  }

  @Override
  public CallBatch newBatch() {
    return stub().bench().newBatch();
  }

  @Override
  public void run(CallBatch batch) {
    begin(batch);
    RuntimeException failed = null;
    boolean done = false;
    for (var call : batch.calls()) {
      if (call.meanwhile() != null && !done) {
        resumeUntilMeeting(batch);
        if (Ptrace.registers(tid)[Registers.RBX] != batch.address() + (long) call.index() * CallBatch.ENTRY_BYTES) {
          done = true; // a required call before this one failed, and this is the end of the batch
        } else {
          try {
            takeResults(batch);
            call.meanwhile().run();
          } catch (RuntimeException thrown) {
            failed = thrown;
          }
        }
      }
    }
    if (!done) {
      resumeUntilMeeting(batch);
    }
    finish(batch);
    if (failed != null) {
      throw failed;
    }
    batch.requireSuccess("the stub of process " + stub().nsPid());
  }

  /** The first half of {@link #run}, for a batch without {@link CallBatch#meanwhile}: the task is on its way. */
  @Override
  public final void start(CallBatch batch) {
    begin(batch);
    Ptrace.cont(tid, 0);
  }

  /** The second half: waits for the end of the batch that was started. */
  @Override
  public final void complete(CallBatch batch) {
    awaitMeeting(batch);
    finish(batch);
    batch.requireSuccess("the stub of process " + stub().nsPid());
  }

  final void begin(CallBatch batch) {
    stub().countRun();
    var bench = stub().bench();
    long[] meeting = {stub().nsPid(), nsTid, batch.meetingSignal()};
    long endEntry = bench.endEntry(batch.address());
    byte[] bytes = new byte[(int) (batch.address() - endEntry) + batch.tableUsed()];
    var out = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    out.putLong(SyscallNumber.TGKILL).putLong(0).putLong(meeting[0]).putLong(meeting[1]).putLong(meeting[2]);
    out.position((int) (batch.address() - endEntry));
    batch.putTable(out, meeting);
    ProcessVm.write(pid(), endEntry, bytes, batch.address() + batch.dataOffset(), batch.data(), batch.dataUsed());
    fresh
        .with(Registers.RIP, bench.code())
        .with(Registers.RSP, bench.end())
        .with(Registers.RBX, batch.address())
        .with(Registers.R14, batch.address())
        .with(Registers.R12, batch.size())
        .with(Registers.R15, endEntry)
        .with(Registers.ORIG_RAX, -1)
        .write(tid);
  }

  private void finish(CallBatch batch) {
    batch.takeAnswers(pid());
  }

  private void takeResults(CallBatch batch) {
    batch.takeResults(ByteBuffer.wrap(ProcessVm.read(pid(), batch.address(), batch.tableUsed())).order(ByteOrder.LITTLE_ENDIAN));
  }

  private void resumeUntilMeeting(CallBatch batch) {
    Ptrace.cont(tid, 0);
    awaitMeeting(batch);
  }

  private void awaitMeeting(CallBatch batch) {
    int signal = batch.meetingSignal();
    long end = System.nanoTime() + RUN_MAX_NS;
    while (true) {
      int status = awaitStop(end);
      if (Wait.event(status) == 0 && Wait.stopSignal(status) == signal) {
        if (signal == Signals.SIGSTOP) {
          return;
        }
        // Somebody else's is of no consequence for a stub, like all others.
        if (StoppedThread.isSentBy(stub().nsPid(), Ptrace.signalInfo(tid))) {
          // It was let through to be sent, and nobody is to take one that is meant for the program.
          Ptrace.setSignalMask(tid, ALL_SIGNALS);
          return;
        }
      }
      refuseFault(status);
      // Others are of no consequence for a stub: SIGCHLD of another stub, or a trap that was still due.
      Ptrace.cont(tid, 0);
    }
  }

  private void refuseFault(int status) {
    int signal = Wait.stopSignal(status);
    if (Wait.event(status) == 0 && (signal == Signals.SIGSEGV || signal == Signals.SIGBUS || signal == Signals.SIGILL)) {
      throw new CheckpointException(this + " failed with signal " + signal + " at " + Registers.read(tid));
    }
  }

  /** A status that says stopped. */
  final int awaitStop(long endNs) {
    int status = StopWait.await(tid, endNs);
    if (status == Wait.NOTHING) {
      throw new CheckpointException(this + " did not stop in time");
    }
    if (!Wait.stopped(status)) {
      throw new CheckpointException(
          this
              + " has ended unexpectedly ("
              + (status == Wait.GONE ? "gone" : "status " + status)
              + "); was it killed from outside, or is memory short?");
    }
    return status;
  }

  /**
   * Runs a batch whose only call is an {@code execve}. On success the task stands still before the new program's first instruction.
   *
   * @return 0 or the error number
   */
  final int execute(CallBatch batch) {
    Ptrace.setOptions(tid, Ptrace.OPTION_EXITKILL | Ptrace.OPTION_TRACEEXEC);
    begin(batch);
    long end = System.nanoTime() + RUN_MAX_NS;
    while (true) {
      Ptrace.cont(tid, 0);
      int status = awaitStop(end);
      if (Wait.event(status) == Ptrace.EVENT_EXEC) {
        return 0;
      }
      if (Wait.event(status) == 0 && Wait.stopSignal(status) == batch.meetingSignal()) {
        finish(batch);
        return (int) -batch.calls().getFirst().result();
      }
      refuseFault(status);
    }
  }

  /** Registers with which the thread will run on. Set them last: every batch overwrites them. */
  public void setRegisters(Registers wanted) {
    wanted.write(tid);
  }

  public void setXsave(byte[] area) {
    Ptrace.setXsave(tid, area);
  }

  /** Blocked signals, bit n−1 for signal n. */
  public void setSignalMask(long mask) {
    Ptrace.setSignalMask(tid, mask);
  }
}
