package io.gantry.checkpoint.tracee;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * Makes calls go on that a stop has ended with EINTR although no signal is there, {@code epoll_wait} above all. Others are restarted
 * by the kernel itself.
 */
final class InterruptedCalls {
  private InterruptedCalls() {}

  static void restart(StoppedProcess process) {
    for (var thread : process.threads()) {
      if (SignalFrame.endedByStop(thread.registers()) && !signalIsDue(process, thread)) {
        thread.setRegisters(restarted(thread));
      }
    }
  }

  /**
   * The thread's registers such that the call is made again, with the time that was left where that is a number in a register. Where
   * it is a structure in the program's memory ({@code epoll_pwait2}, {@code rt_sigtimedwait}, {@code semtimedop}) the time begins anew:
   * that memory is the program's own and may be read by others.
   */
  static Registers restarted(StoppedThread thread) {
    var registers = SignalFrame.again(thread.registers());
    if (WaitObservation.isEpollInMilliseconds((int) thread.registers().systemCall())) {
      int limitMs = (int) registers.get(Registers.R10);
      if (limitMs > 0 && thread.blockedSinceNs().isPresent()) {
        long waitedMs = (System.nanoTime() - thread.blockedSinceNs().getAsLong()) / 1_000_000;
        return registers.with(Registers.R10, Math.clamp(limitMs - waitedMs, 0, limitMs));
      }
    }
    return registers;
  }

  private static boolean signalIsDue(StoppedProcess process, StoppedThread thread) {
    long pending = set(thread.pendingSignals()) | set(process.pendingSignals());
    return (pending & ~thread.signalMask()) != 0;
  }

  private static long set(List<byte[]> siginfos) {
    long set = 0;
    for (byte[] siginfo : siginfos) {
      set |= 1L << ByteBuffer.wrap(siginfo).order(ByteOrder.LITTLE_ENDIAN).getInt(0) - 1;
    }
    return set;
  }
}
