package io.gantry.checkpoint.state;

import io.gantry.checkpoint.image.interrupted_call_entry;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.tracee.TimedWaits;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/**
 * How a thread that was stopped inside a system call comes back to it.
 *
 * <p>After {@code -ERESTARTSYS} and its two relatives the kernel issues the call again by itself when the thread resumes with these registers.
 * {@code -ERESTART_RESTARTBLOCK} refers to state of the kernel's own: those calls are issued on the other side with the time that was left.
 * A few calls answer a stop with {@code EINTR}, although no signal came; they are issued again. Sources: {@code linux/errno.h},
 * {@code man 7 signal}, {@code kernel/time/hrtimer.c}, {@code fs/select.c}, {@code kernel/futex/waitwake.c}.
 */
final class InterruptedCall {
  static final long RESTART_BLOCK = -516;

  private static final int SYSCALL_INSTRUCTION_BYTES = 2;
  private static final int TIMER_ABSTIME = 1;
  private static final int FUTEX_COMMAND_MASK = 0x7f;
  private static final int FUTEX_WAIT = 0;

  /** These say EINTR whenever the thread is stopped, and nothing is lost when they are issued again. */
  private static final Set<Integer> INTERRUPTED_BY_STOPS =
      Set.of(
          SyscallNumber.EPOLL_WAIT,
          SyscallNumber.EPOLL_PWAIT,
          SyscallNumber.EPOLL_PWAIT2,
          SyscallNumber.IO_GETEVENTS,
          SyscallNumber.IO_PGETEVENTS,
          SyscallNumber.RT_SIGTIMEDWAIT,
          SyscallNumber.SEMOP,
          SyscallNumber.SEMTIMEDOP,
          // With a time-out on the socket (SO_RCVTIMEO, SO_SNDTIMEO).
          SyscallNumber.READ,
          SyscallNumber.READV,
          SyscallNumber.RECVFROM,
          SyscallNumber.RECVMSG,
          SyscallNumber.ACCEPT,
          SyscallNumber.ACCEPT4);

  /** Registers to resume with, and the call to be made again if there is one. */
  record Continuation(long[] registers, Optional<interrupted_call_entry> call) {}

  /** Reads two longs of the process's memory: a {@code struct timespec}. */
  interface TimespecReader {
    long nanoseconds(long address);
  }

  private InterruptedCall() {}

  /**
   * @param registers as the thread stopped
   * @param instructions the bytes in front of the instruction pointer, for a call whose number the kernel has replaced; may be empty
   * @param known the wait, when an earlier stop has interrupted it already and it is remembered
   * @param frozenAtNs when it was stopped this time
   * @param waitedNs how long it has been in the call, when known
   * @param signalWaits whether a signal will be delivered to the thread as soon as it runs
   */
  static Continuation of(
      long[] registers,
      byte[] instructions,
      Optional<TimedWaits.TimedWait> known,
      long frozenAtNs,
      OptionalLong waitedNs,
      boolean signalWaits,
      TimespecReader memory) {
    long result = registers[RegisterSet.AX];
    int number = (int) registers[RegisterSet.ORIG_AX];
    if (number < 0) {
      return new Continuation(registers, Optional.empty());
    }
    if (result == -Errno.EINTR && !signalWaits && INTERRUPTED_BY_STOPS.contains(number)) {
      return new Continuation(againWithTimeLeft(registers, number, waitedNs), Optional.empty());
    }
    if (result != RESTART_BLOCK) {
      return new Continuation(registers, Optional.empty());
    }
    if (number == SyscallNumber.RESTART_SYSCALL) {
      if (known.isPresent()) {
        return timeLeft(registers, known.get().systemCall(), known.get().endNs() - frozenAtNs);
      }
      var original = originalNumber(instructions);
      if (original.isEmpty()) {
        return new Continuation(interrupted(registers), Optional.empty());
      }
      number = original.get();
    }
    return restartBlock(registers, number, waitedNs, memory);
  }

  private static Continuation restartBlock(long[] r, int number, OptionalLong waitedNs, TimespecReader memory) {
    long leftNs;
    switch (number) {
      case SyscallNumber.NANOSLEEP -> leftNs = sleepLeft(r[RegisterSet.DI], r[RegisterSet.SI], waitedNs, memory);
      case SyscallNumber.CLOCK_NANOSLEEP -> {
        if ((r[RegisterSet.SI] & TIMER_ABSTIME) != 0) {
          return again(r, number);
        }
        leftNs = sleepLeft(r[RegisterSet.DX], r[RegisterSet.R10], waitedNs, memory);
      }
      case SyscallNumber.POLL -> {
        int milliseconds = (int) r[RegisterSet.DX];
        if (milliseconds < 0) {
          return again(r, number);
        }
        leftNs = milliseconds * 1_000_000L - waitedNs.orElse(0);
      }
      case SyscallNumber.FUTEX -> {
        if ((r[RegisterSet.SI] & FUTEX_COMMAND_MASK) != FUTEX_WAIT) {
          return again(r, number); // FUTEX_WAIT_BITSET has an absolute time
        }
        leftNs = memory.nanoseconds(r[RegisterSet.R10]) - waitedNs.orElse(0);
      }
      default -> {
        return again(r, number);
      }
    }
    return timeLeft(r, number, leftNs);
  }

  private static Continuation timeLeft(long[] registers, int number, long leftNs) {
    var call = interrupted_call_entry.newBuilder().setNumber(number).setNanosecondsLeft(Math.max(1, leftNs)).build();
    return new Continuation(registers, Optional.of(call));
  }

  /** The kernel has written what is left where the program wanted to know it; else it follows from the clock. */
  private static long sleepLeft(long wanted, long remainder, OptionalLong waitedNs, TimespecReader memory) {
    return remainder != 0 ? memory.nanoseconds(remainder) : memory.nanoseconds(wanted) - waitedNs.orElse(0);
  }

  /** Goes back onto the {@code syscall} instruction. */
  static long[] moveBack(long[] registers, int number) {
    long[] changed = registers.clone();
    changed[RegisterSet.AX] = number;
    changed[RegisterSet.IP] -= SYSCALL_INSTRUCTION_BYTES;
    // No longer inside a call, so that the kernel does not restart it a second time.
    changed[RegisterSet.ORIG_AX] = -1;
    return changed;
  }

  private static Continuation again(long[] registers, int number) {
    return new Continuation(moveBack(registers, number), Optional.empty());
  }

  /** epoll's time-out is an argument in a register that the caller does not expect to keep. */
  private static long[] againWithTimeLeft(long[] registers, int number, OptionalLong waitedNs) {
    long[] changed = moveBack(registers, number);
    boolean hasTimeout = number == SyscallNumber.EPOLL_WAIT || number == SyscallNumber.EPOLL_PWAIT;
    int milliseconds = (int) registers[RegisterSet.R10];
    if (hasTimeout && milliseconds > 0 && waitedNs.isPresent()) {
      changed[RegisterSet.R10] = Math.max(0, milliseconds - waitedNs.getAsLong() / 1_000_000);
    }
    return changed;
  }

  /** What CRIU does too: the call says EINTR, which programs must expect of it. */
  private static long[] interrupted(long[] registers) {
    long[] changed = registers.clone();
    changed[RegisterSet.AX] = -Errno.EINTR;
    changed[RegisterSet.ORIG_AX] = -1;
    return changed;
  }

  /** {@code mov $number, %eax; syscall}, which is how C libraries issue calls. */
  private static Optional<Integer> originalNumber(byte[] instructions) {
    int length = instructions.length;
    if (length < 7 || (instructions[length - 7] & 0xff) != 0xb8) {
      return Optional.empty();
    }
    int number = 0;
    for (int i = 3; i >= 0; i--) {
      number = number << 8 | instructions[length - 6 + i] & 0xff;
    }
    boolean known =
        Set.of(SyscallNumber.NANOSLEEP, SyscallNumber.CLOCK_NANOSLEEP, SyscallNumber.POLL, SyscallNumber.FUTEX).contains(number);
    return known ? Optional.of(number) : Optional.empty();
  }
}
