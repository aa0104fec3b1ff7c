package io.gantry.checkpoint.state;

import io.gantry.checkpoint.image.siginfo_entry;
import io.gantry.checkpoint.image.signal_queue_entry;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * Signals that are sent but not delivered. The receiver sends them to itself, because the kernel lets nobody else choose any
 * {@code si_code} ({@code rt_sigqueueinfo(2)}).
 */
final class PendingSignals {
  private static final int SIG_SETMASK = 2;
  private static final int SIGSET_BYTES = 8;
  /** Most signals that {@link #restoreMost} leaves. */
  static final int AT_ONCE = 16;
  private static final int DRAIN_MAX = 16;

  private PendingSignals() {}

  /** Adds the call that blocks every signal. */
  static long block(CallBatch batch) {
    long all = batch.bytes(new byte[] {-1, -1, -1, -1, -1, -1, -1, -1});
    batch.call("rt_sigprocmask", SyscallNumber.RT_SIGPROCMASK, SIG_SETMASK, all, 0, SIGSET_BYTES);
    return all;
  }

  /** Adds the call that blocks every signal but one, which is to tell the tracer that the batch is done. */
  static void blockAllBut(CallBatch batch, int signal) {
    long set = ~Signals.bit(signal);
    var bytes = ByteBuffer.allocate(SIGSET_BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(set).array();
    batch.call("rt_sigprocmask", SyscallNumber.RT_SIGPROCMASK, SIG_SETMASK, batch.bytes(bytes), 0, SIGSET_BYTES);
  }

  /** Whether a signal is among those that are pending. */
  static boolean has(signal_queue_entry queue, int signal) {
    return queue.getSignalsList().stream()
        .anyMatch(entry -> ThreadStateCapture.littleEndian(entry.getSiginfo().toByteArray()).getInt(0) == signal);
  }

  /**
   * Adds calls that block every signal and take away those that building the stub has left behind, such as SIGCHLD from helpers: what is pending
   * afterwards is only what was captured.
   */
  static void blockAndDrain(CallBatch batch) {
    long all = block(batch);
    long noTime = batch.reserve(16);
    for (int i = 0; i < DRAIN_MAX; i++) {
      batch.attempt("rt_sigtimedwait", SyscallNumber.RT_SIGTIMEDWAIT, all, 0, noTime, SIGSET_BYTES);
    }
  }

  /** @param process the container's process id; @param thread the container's thread id, or 0 for signals of the whole process */
  static void restore(RemoteTask task, int process, int thread, signal_queue_entry queue) {
    var rest = restoreMost(task, process, thread, queue);
    if (!rest.isEmpty()) {
      var batch = task.newBatch();
      send(batch, process, thread, rest);
      task.run(batch);
    }
  }

  /** As {@link #restore}, but leaves the last few to a batch that is to be run anyway, for {@link #send}. */
  static List<siginfo_entry> restoreMost(RemoteTask task, int process, int thread, signal_queue_entry queue) {
    var signals = queue.getSignalsList();
    int from = 0;
    while (signals.size() - from > AT_ONCE) {
      var batch = task.newBatch();
      block(batch);
      send(batch, process, thread, signals.subList(from, from + AT_ONCE));
      task.run(batch);
      from += AT_ONCE;
    }
    return signals.subList(from, signals.size());
  }

  static void send(CallBatch batch, int process, int thread, List<siginfo_entry> signals) {
    for (siginfo_entry entry : signals) {
      byte[] info = entry.getSiginfo().toByteArray();
      int signal = ThreadStateCapture.littleEndian(info).getInt(0);
      if (isSentLast(signal)) {
        continue;
      }
      long at = batch.bytes(info);
      if (thread == 0) {
        batch.call("rt_sigqueueinfo of signal " + signal, SyscallNumber.RT_SIGQUEUEINFO, process, signal, at);
      } else {
        batch.call("rt_tgsigqueueinfo of signal " + signal, SyscallNumber.RT_TGSIGQUEUEINFO, process, thread, signal, at);
      }
    }
  }

  /**
   * SIGSTOP cannot be blocked, and SIGCONT and the stop signals discard each other ({@code prepare_signal} in {@code kernel/signal.c}); the end of every
   * batch in a stub is announced by a SIGSTOP.
   */
  private static boolean isSentLast(int signal) {
    return signal == Signals.SIGSTOP || signal == Signals.SIGCONT;
  }

  /** Sends from outside what only the last act may send. The sender is then seen as "outside the container". */
  static void sendLast(int pid, signal_queue_entry queue) {
    for (siginfo_entry entry : queue.getSignalsList()) {
      int signal = ThreadStateCapture.littleEndian(entry.getSiginfo().toByteArray()).getInt(0);
      if (isSentLast(signal)) {
        Signals.kill(pid, signal);
      }
    }
  }
}
