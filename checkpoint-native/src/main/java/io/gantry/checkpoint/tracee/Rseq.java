package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.Ptrace;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;

/** Restartable sequences ({@code linux/rseq.h}). */
final class Rseq {
  private static final int RSEQ_CS_AT = 8;
  private static final int CRITICAL_SECTION_BYTES = 32;

  private Rseq() {}

  /**
   * The critical sections that threads of a process have announced, by their addresses; 0 for none.
   *
   * @param pid stopped, at least these threads of it
   */
  static long[] sections(int pid, List<Ptrace.RseqConfiguration> configurations) {
    var registered = configurations.stream().filter(configuration -> configuration.address() != 0).toList();
    long[] addresses = registered.stream().mapToLong(configuration -> configuration.address() + RSEQ_CS_AT).toArray();
    int[] longs = new int[addresses.length];
    Arrays.fill(longs, 1);
    var sections = new long[configurations.size()];
    try (var arena = Arena.ofConfined()) {
      var read = arena.allocate(ValueLayout.JAVA_LONG, Math.max(1, addresses.length));
      long bytes = addresses.length == 0 ? 0 : ProcessVm.read(pid, addresses, longs, Long.BYTES, 0, addresses.length, read);
      for (int i = 0, next = 0; i < sections.length; i++) {
        if (configurations.get(i).address() != 0) {
          // One that cannot be read is an error of its own, which names the address.
          boolean isRead = (next + 1L) * Long.BYTES <= bytes;
          sections[i] = isRead ? read.getAtIndex(ValueLayout.JAVA_LONG, next) : ProcessVm.readLong(pid, addresses[next]);
          next++;
        }
      }
    }
    return sections;
  }

  /**
   * Where the thread must go on: its instruction pointer, or the abort handler when it is inside a critical section. Must be asked
   * before anything of ours runs in the thread, because the kernel forgets the section when it sees the instruction pointer outside.
   */
  static long continueAt(int pid, long section, long instructionPointer) {
    if (section == 0) {
      return instructionPointer;
    }
    // struct rseq_cs: u32 version, u32 flags, u64 start_ip, u64 post_commit_offset, u64 abort_ip
    var fields = ByteBuffer.wrap(ProcessVm.read(pid, section, CRITICAL_SECTION_BYTES)).order(ByteOrder.LITTLE_ENDIAN);
    boolean inside = Long.compareUnsigned(instructionPointer - fields.getLong(8), fields.getLong(16)) < 0;
    return inside ? fields.getLong(24) : instructionPointer;
  }
}
