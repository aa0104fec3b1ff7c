package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Wait;
import io.gantry.checkpoint.memory.StubProvider;

/** A stub for tests of memory alone: workload "blank", traced, one stop for each system call. All on one thread. */
public final class BlankStub implements StubProvider.Stub {
  private static final int BENCH_BYTES = 256 << 10;
  private static final int CODE_BYTES = 4096;
  private static final byte[] CODE = {0x0f, 0x05, (byte) 0xcc};

  /** {@code PTRACE_O_TRACEFORK} and its event. */
  private static final int TRACE_FORK = 1 << 1;

  private static final int EVENT_FORK = 1;
  private static final int SIGCHLD = 17;

  private final int pid;
  private long bench;

  private BlankStub(int pid, long bench) {
    this.pid = pid;
    this.bench = bench;
  }

  /** Takes over a running workload "blank". */
  public static BlankStub of(int pid) {
    Ptrace.seize(pid, Ptrace.OPTION_EXITKILL | TRACE_FORK);
    Ptrace.interrupt(pid);
    Wait.block(pid);
    var stub = new BlankStub(pid, 0x20000);
    ProcessVm.write(pid, stub.bench, CODE, CODE.length);
    return stub;
  }

  @Override
  public int pid() {
    return pid;
  }

  @Override
  public int tid() {
    return pid;
  }

  @Override
  public CallBatch newBatch() {
    return new CallBatch(bench + CODE_BYTES, 512, 128 << 10);
  }

  @Override
  public void run(CallBatch batch) {
    for (int at = 0; at < batch.dataUsed(); at += 32 << 10) {
      int length = Math.min(32 << 10, batch.dataUsed() - at);
      ProcessVm.write(pid, batch.address() + batch.dataOffset() + at, java.util.Arrays.copyOfRange(batch.data(), at, at + length), length);
    }
    for (var call : batch.calls()) {
      if (call.meanwhile() != null) {
        call.meanwhile().run();
        call.result(0);
        continue;
      }
      long[] arguments = call.arguments().clone();
      for (int i = 0; i < 6; i++) {
        if ((call.links() >> i & 1) != 0) {
          arguments[i] = batch.calls().get((int) arguments[i]).result();
        }
      }
      call.result(one(call.number(), arguments));
      if (call.required() && call.result() < 0 && call.result() > -4096) {
        break;
      }
    }
    if (batch.dataUsed() > 0) {
      byte[] data = new byte[batch.dataUsed()];
      for (int at = 0; at < data.length; at += 32 << 10) {
        int length = Math.min(32 << 10, data.length - at);
        System.arraycopy(ProcessVm.read(pid, batch.address() + batch.dataOffset() + at, length), 0, data, at, length);
      }
      batch.takeData(data);
    }
    batch.requireSuccess("stub " + pid);
  }

  private long one(int number, long[] arguments) {
    long[] registers = Ptrace.registers(pid);
    registers[Registers.RIP] = bench;
    registers[Registers.RAX] = number;
    registers[Registers.ORIG_RAX] = -1;
    registers[Registers.RDI] = arguments[0];
    registers[Registers.RSI] = arguments[1];
    registers[Registers.RDX] = arguments[2];
    registers[Registers.R10] = arguments[3];
    registers[Registers.R8] = arguments[4];
    registers[Registers.R9] = arguments[5];
    Ptrace.setRegisters(pid, registers);
    while (true) {
      Ptrace.cont(pid, 0);
      int status = Wait.block(pid);
      if (Wait.ended(status)) {
        throw new CheckpointException("stub " + pid + " died in system call " + number);
      }
      if (Wait.stopSignal(status) == Signals.SIGTRAP && Wait.event(status) == 0) {
        return Ptrace.registers(pid)[Registers.RAX];
      }
      if (Wait.event(status) == EVENT_FORK) {
        Wait.block((int) Ptrace.eventMessage(pid));
      } else if (Wait.stopSignal(status) == Signals.SIGSEGV) {
        throw new CheckpointException("stub " + pid + " lost its bench in system call " + number);
      }
    }
  }

  /** A child, traced as well. */
  public BlankStub fork() {
    long child = one(SyscallNumber.CLONE, new long[] {SIGCHLD, 0, 0, 0, 0, 0});
    return new BlankStub((int) child, bench);
  }

  public void kill() {
    Signals.kill(pid, Signals.SIGKILL);
    for (int status = Wait.block(pid); status != Wait.GONE && !Wait.ended(status); status = Wait.block(pid)) {
      Ptrace.cont(pid, 0);
    }
  }

  @Override
  public long benchStart() {
    return bench;
  }

  @Override
  public long benchBytes() {
    return BENCH_BYTES;
  }

  @Override
  public void moveBench(long address) {
    long old = bench;
    long made = one(SyscallNumber.MMAP, new long[] {address, BENCH_BYTES, 7, 0x100022, -1, 0});
    if (made != address) {
      throw new CheckpointException("the bench cannot move to 0x" + Long.toHexString(address) + ": " + made);
    }
    ProcessVm.write(pid, address, CODE, CODE.length);
    bench = address;
    one(SyscallNumber.MUNMAP, new long[] {old, BENCH_BYTES, 0, 0, 0, 0});
  }
}
