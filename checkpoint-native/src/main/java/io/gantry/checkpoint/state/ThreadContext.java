package io.gantry.checkpoint.state;

import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.util.List;
import java.util.OptionalLong;
import java.util.function.LongFunction;
import java.util.function.Supplier;

/**
 * What a stopped thread is, as far as ptrace can tell.
 *
 * @param task to run calls in it
 * @param nsTid its id in the container
 * @param registers in the order of {@code struct user_regs_struct}
 * @param xsave the whole area
 * @param signalMask blocked signals, bit n−1 for signal n
 * @param pending {@code siginfo_t}s of the thread's own pending signals, in order
 * @param rseq its registration
 * @param blockedSinceNs since when ({@link System#nanoTime}) it has been in the call in which it was stopped, for who knows how often it has gone to sleep
 *     ({@code voluntary_ctxt_switches}) before anything was run in it; empty when unknown
 */
record ThreadContext(
    RemoteTask task,
    int nsTid,
    long[] registers,
    byte[] xsave,
    long signalMask,
    Supplier<List<byte[]>> pending,
    Ptrace.RseqConfiguration rseq,
    LongFunction<OptionalLong> blockedSinceNs) {
  /** Asks the kernel; the thread is in a ptrace stop of the calling thread's. */
  static ThreadContext read(RemoteTask task, int nsTid) {
    int tid = task.tid();
    return new ThreadContext(
        task,
        nsTid,
        Ptrace.registers(tid),
        Ptrace.xsave(tid),
        Ptrace.signalMask(tid),
        () -> Ptrace.pendingSignals(tid, false),
        Ptrace.rseqConfiguration(tid),
        switches -> OptionalLong.empty());
  }
}
