package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * When waits end that we have interrupted and let go on. A wait with a relative time limit that is continued after a stop shows itself as
 * {@code restart_syscall}: neither which call it is nor since when it lasts can be seen any more, so it is remembered here for the next
 * stop. What is forgotten with this process only makes a wait longer. Any thread.
 */
public final class TimedWaits {
  /** {@code -ERESTART_RESTARTBLOCK}, {@code linux/errno.h}. */
  private static final long RESTART_BLOCK = -516;

  private static final int TIMER_ABSTIME = 1;
  private static final int FUTEX_COMMAND_MASK = 0x7f;

  private static final long CLEAR_EVERY_NS = 1_000_000_000;
  private static final AtomicLong CLEARED_NS = new AtomicLong(System.nanoTime());

  /** By thread as the host counts. Entries go some time after their time is over. */
  private static final Map<Integer, TimedWait> WAITS = new ConcurrentHashMap<>();

  private TimedWaits() {}

  /**
   * One wait.
   *
   * @param systemCall the call that was made originally
   * @param endNs when its time is over, as {@link System#nanoTime}
   */
  public record TimedWait(int systemCall, long endNs, long instructionPointer, long stackPointer) {}

  /** Remembers a wait that goes on in a thread with these registers. */
  public static void remember(int tid, int systemCall, long endNs, long[] registers) {
    long now = System.nanoTime();
    long last = CLEARED_NS.get();
    // Looking through all of them for each of thousands of threads would cost more than they take.
    if (now - last > CLEAR_EVERY_NS && CLEARED_NS.compareAndSet(last, now)) {
      WAITS.values().removeIf(wait -> wait.endNs() < now);
    }
    WAITS.put(tid, new TimedWait(systemCall, endNs, registers[Registers.RIP], registers[Registers.RSP]));
  }

  /** The wait that the thread with these registers is still in, if it is known. */
  public static Optional<TimedWait> find(int tid, long[] registers) {
    return Optional.ofNullable(WAITS.get(tid))
        .filter(
            wait ->
                wait.instructionPointer() == registers[Registers.RIP] && wait.stackPointer() == registers[Registers.RSP]);
  }

  /** Remembers the wait that a stopped thread is about to go on with, if it is one. */
  static void remember(StoppedThread thread) {
    var registers = thread.registers();
    if (registers.rax() == RESTART_BLOCK && thread.blockedSinceNs().isPresent()) {
      int call = (int) registers.systemCall();
      limitNs(thread, call)
          .ifPresent(limit -> remember(thread.tid(), call, thread.blockedSinceNs().getAsLong() + limit, registers.toArray()));
    }
  }

  private static OptionalLong limitNs(StoppedThread thread, int call) {
    var registers = thread.registers();
    try {
      return switch (call) {
        case SyscallNumber.NANOSLEEP -> timespec(thread, registers.argument(0));
        case SyscallNumber.CLOCK_NANOSLEEP ->
            (registers.argument(1) & TIMER_ABSTIME) == 0 ? timespec(thread, registers.argument(2)) : OptionalLong.empty();
        case SyscallNumber.POLL -> OptionalLong.of((int) registers.argument(2) * 1_000_000L);
        case SyscallNumber.FUTEX ->
            (registers.argument(1) & FUTEX_COMMAND_MASK) == 0 ? timespec(thread, registers.argument(3)) : OptionalLong.empty();
        default -> OptionalLong.empty();
      };
    } catch (KernelException unmapped) {
      return OptionalLong.empty();
    }
  }

  private static OptionalLong timespec(StoppedThread thread, long address) {
    var fields = ByteBuffer.wrap(ProcessVm.read(thread.pid(), address, 16)).order(ByteOrder.LITTLE_ENDIAN);
    return OptionalLong.of(fields.getLong(0) * 1_000_000_000L + fields.getLong(8));
  }
}
