package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.interrupted_call_entry;
import io.gantry.checkpoint.linux.ProcMem;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Wait;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.TimedWaits;
import io.gantry.checkpoint.tracee.Together;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/**
 * Puts a thread back into a call with a relative time-out. The stub's thread really issues the call, with the time that was left, and is stopped
 * at once: the kernel then holds a restart block of its own, which is what registers with {@code -ERESTART_RESTARTBLOCK} refer to
 * ({@code kernel/signal.c}, {@code sys_restart_syscall}). The thread stays in that stop; no further calls may be run in it.
 *
 * <p>No time passes and nothing is left to chance: the stop is asked for while the thread stands at the entry of the call, so the
 * call finds itself interrupted before it can sleep.
 */
final class CallRearming {
  private static final Duration STOP_MAX = Duration.ofSeconds(5);
  private static final long POLL_NS = 20_000;
  private static final int TIMESPEC_BYTES = 16;
  private static final byte[] SYSCALL_THEN_TRAP = {0x0f, 0x05, (byte) 0xcc};

  /**
   * A thread that is to be in a call.
   *
   * @param registers those of the thread at the source
   */
  record Waiting(RemoteTask task, interrupted_call_entry call, long[] registers) {}

  /** As {@link #rearm(List)}, one. */
  static long[] rearm(RemoteTask task, interrupted_call_entry call, long[] registers) {
    return rearm(List.of(new Waiting(task, call, registers))).getFirst();
  }

  /**
   * Issues the calls, at the same time.
   *
   * @param all of different processes
   * @return the registers with which each thread must resume: the same, or, when the call would end at once, those that make it again
   */
  static List<long[]> rearm(List<Waiting> all) {
    var rearmings = all.stream().map(CallRearming::new).toList();
    var together = new Together(Together.USUALLY);
    rearmings.forEach(one -> one.prepare(together));
    together.finish();
    rearmings.forEach(CallRearming::issue);
    rearmings.forEach(CallRearming::interrupt);
    return rearmings.stream().map(CallRearming::outcome).toList();
  }

  private final RemoteTask task;
  private final interrupted_call_entry call;
  private final long[] registers;
  /** Where the call writes what is left when it is interrupted, or 0. */
  private final long remainder;
  private long code;
  private long left;
  private byte[] kept = {};

  private CallRearming(Waiting waiting) {
    this.task = waiting.task();
    this.call = waiting.call();
    this.registers = waiting.registers();
    this.remainder = remainder(registers, call.getNumber());
  }

  /** Brings code and time into the stub's memory; the call that is run for that is of no interest. */
  private void prepare(Together together) {
    var batch = task.newBatch();
    code = batch.bytes(SYSCALL_THEN_TRAP);
    left = batch.bytes(timespec(call.getNanosecondsLeft()));
    batch.call("gettid", SyscallNumber.GETTID);
    together.add(task, batch);
  }

  /** Lets the thread run to the entry of the call. */
  private void issue() {
    if (remainder != 0) {
      try (var arena = Arena.ofConfined();
          var memory = ProcMem.open(task.pid())) {
        var now = arena.allocate(TIMESPEC_BYTES);
        memory.read(remainder, now);
        kept = now.toArray(ValueLayout.JAVA_BYTE);
      }
    }
    Ptrace.setRegisters(task.tid(), issue(registers, call, code, left));
    Ptrace.continueToSystemCall(task.tid());
  }

  private void interrupt() {
    int tid = task.tid();
    awaitStop(tid);
    Ptrace.interrupt(tid);
    Ptrace.cont(tid, 0);
  }

  private long[] outcome() {
    int tid = task.tid();
    awaitStop(tid);
    if (remainder != 0) {
      // The kernel wrote there as it did at the source; the program's memory stays what was sent.
      try (var arena = Arena.ofConfined();
          var memory = ProcMem.open(task.pid())) {
        memory.write(remainder, arena.allocateFrom(ValueLayout.JAVA_BYTE, kept));
      }
    }
    boolean waits = Ptrace.registers(tid)[RegisterSet.AX] == InterruptedCall.RESTART_BLOCK;
    if (!waits) {
      return InterruptedCall.moveBack(registers, call.getNumber());
    }
    TimedWaits.remember(tid, call.getNumber(), System.nanoTime() + call.getNanosecondsLeft(), registers);
    return registers;
  }

  private static void awaitStop(int tid) {
    long deadline = System.nanoTime() + STOP_MAX.toNanos();
    while (System.nanoTime() < deadline) {
      int status = Wait.poll(tid);
      if (Wait.stopped(status)) {
        return;
      }
      if (status != Wait.NOTHING) {
        throw new CheckpointException("thread " + tid + " was killed while an interrupted system call was made again in it");
      }
      LockSupport.parkNanos(POLL_NS);
    }
    throw new CheckpointException(
        "thread " + tid + " did not stop within " + STOP_MAX.toSeconds() + " s while an interrupted system call was made again in it");
  }

  /** The stub's registers for the call: those of the program, with the time that was left instead of the whole. */
  private static long[] issue(long[] registers, interrupted_call_entry call, long code, long left) {
    long[] issued = registers.clone();
    issued[RegisterSet.IP] = code;
    issued[RegisterSet.AX] = call.getNumber();
    issued[RegisterSet.ORIG_AX] = -1;
    switch (call.getNumber()) {
      case SyscallNumber.NANOSLEEP -> issued[RegisterSet.DI] = left;
      case SyscallNumber.CLOCK_NANOSLEEP -> issued[RegisterSet.DX] = left;
      case SyscallNumber.POLL ->
          // Rounded up: a wait may last longer than asked for, never shorter.
          issued[RegisterSet.DX] = Math.max(1, (call.getNanosecondsLeft() + 999_999) / 1_000_000);
      case SyscallNumber.FUTEX -> issued[RegisterSet.R10] = left;
      default -> throw new CheckpointException("system call " + call.getNumber() + " cannot be continued with a time that was left");
    }
    return issued;
  }

  private static long remainder(long[] registers, int number) {
    return switch (number) {
      case SyscallNumber.NANOSLEEP -> registers[RegisterSet.SI];
      case SyscallNumber.CLOCK_NANOSLEEP -> registers[RegisterSet.R10];
      default -> 0;
    };
  }

  private static byte[] timespec(long nanoseconds) {
    return ByteBuffer.allocate(TIMESPEC_BYTES)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(nanoseconds / 1_000_000_000)
        .putLong(nanoseconds % 1_000_000_000)
        .array();
  }
}
