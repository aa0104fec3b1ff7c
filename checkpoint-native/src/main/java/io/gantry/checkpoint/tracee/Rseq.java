package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.Ptrace;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Restartable sequences ({@code linux/rseq.h}). */
final class Rseq {
  private static final int RSEQ_CS_AT = 8;
  private static final int CRITICAL_SECTION_BYTES = 32;

  private Rseq() {}

  /**
   * Where the thread must go on: its instruction pointer, or the abort handler when it is inside a critical section. Must be asked
   * before anything of ours runs in the thread, because the kernel forgets the section when it sees the instruction pointer outside.
   */
  static long continueAt(int pid, Ptrace.RseqConfiguration configuration, long instructionPointer) {
    if (configuration.address() == 0) {
      return instructionPointer;
    }
    long section = ProcessVm.readLong(pid, configuration.address() + RSEQ_CS_AT);
    if (section == 0) {
      return instructionPointer;
    }
    // struct rseq_cs: u32 version, u32 flags, u64 start_ip, u64 post_commit_offset, u64 abort_ip
    var fields = ByteBuffer.wrap(ProcessVm.read(pid, section, CRITICAL_SECTION_BYTES)).order(ByteOrder.LITTLE_ENDIAN);
    boolean inside = Long.compareUnsigned(instructionPointer - fields.getLong(8), fields.getLong(16)) < 0;
    return inside ? fields.getLong(24) : instructionPointer;
  }
}
