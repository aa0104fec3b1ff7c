package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * A thread seen in a system call with a time limit, just before it is stopped: since when it waits cannot be told afterwards,
 * because the stop itself wakes it up.
 *
 * @param since start of the wait, as {@link System#nanoTime}
 * @param systemCall its number
 * @param switches how often the thread had gone to sleep by then
 */
record WaitObservation(long since, int systemCall, long switches) {

  /** Looks at a running thread; empty when it does not wait with a time limit. */
  static Optional<WaitObservation> of(SchedulerClock clock, int pid, int tid) {
    // man 5 proc_pid_syscall: number and six arguments in hexadecimal, or "running", or "-1"
    var call = Fd.readIfThere("/proc/" + pid + "/task/" + tid + "/syscall").map(bytes -> new String(bytes, StandardCharsets.US_ASCII));
    if (call.isEmpty() || !Character.isDigit(call.get().charAt(0))) {
      return Optional.empty();
    }
    String[] fields = call.get().split(" ");
    int number = Integer.parseInt(fields[0]);
    int argument = limitArgument(number);
    if (argument < 0) {
      return Optional.empty();
    }
    long limit = Long.parseUnsignedLong(fields[1 + argument], 2, fields[1 + argument].length(), 16);
    boolean unlimited = limit == 0 || number == SyscallNumber.POLL && (int) limit < 0 || isEpollInMilliseconds(number) && (int) limit < 0;
    if (unlimited) {
      return Optional.empty();
    }
    String task = pid + "/task/" + tid;
    return SchedulerClock.Schedule.of(task)
        .flatMap(
            schedule -> {
              var since = clock.nanoTime(task, schedule);
              return since.isPresent()
                  ? Optional.of(new WaitObservation(since.getAsLong(), number, schedule.voluntarySwitches()))
                  : Optional.empty();
            });
  }

  /** After the stop: since when the thread has waited, if it still was in that very wait. */
  OptionalLong confirm(StoppedThread thread) {
    return SchedulerClock.Schedule.of(thread.pid() + "/task/" + thread.tid())
        .map(now -> confirm(thread, now.voluntarySwitches()))
        .orElse(OptionalLong.empty());
  }

  /**
   * The same, for who knows already how often it has gone to sleep.
   *
   * @param switchesNow {@code voluntary_ctxt_switches} of its status file, in the stop
   */
  OptionalLong confirm(StoppedThread thread, long switchesNow) {
    // One more switch than observed: the stop. More: it had woken up and gone to sleep again.
    boolean same = thread.registers().systemCall() == systemCall && switchesNow <= switches + 1;
    return same ? OptionalLong.of(since) : OptionalLong.empty();
  }

  /** Which argument limits the wait, or −1. */
  private static int limitArgument(int number) {
    return switch (number) {
      case SyscallNumber.NANOSLEEP -> 0;
      case SyscallNumber.CLOCK_NANOSLEEP, SyscallNumber.POLL, SyscallNumber.PPOLL, SyscallNumber.RT_SIGTIMEDWAIT -> 2;
      case SyscallNumber.FUTEX, SyscallNumber.EPOLL_WAIT, SyscallNumber.EPOLL_PWAIT, SyscallNumber.EPOLL_PWAIT2, SyscallNumber.FUTEX_WAITV,
          SyscallNumber.SEMTIMEDOP -> 3;
      case SyscallNumber.SELECT, SyscallNumber.PSELECT6, SyscallNumber.IO_GETEVENTS -> 4;
      default -> -1;
    };
  }

  static boolean isEpollInMilliseconds(int number) {
    return number == SyscallNumber.EPOLL_WAIT || number == SyscallNumber.EPOLL_PWAIT;
  }
}
