package io.gantry.checkpoint.state;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.core_entry;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.image.seccomp_entry;
import io.gantry.checkpoint.image.seccomp_filter;
import io.gantry.checkpoint.image.seccomp_mode;
import io.gantry.checkpoint.image.thread_core_entry;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.SeccompSuspension;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * {@code seccomp(2)}: strict mode, and chains of filters. Each thread has a chain of its own; what the threads of a process have in common was
 * inherited or synchronized and is one object to the kernel, on which a later {@code SECCOMP_FILTER_FLAG_TSYNC} depends. So it is installed once and given to
 * all of them. Tracer thread only.
 */
final class SeccompFilters {
  /** {@code linux/seccomp.h}. */
  private static final int SECCOMP_SET_MODE_STRICT = 0;
  private static final int SECCOMP_SET_MODE_FILTER = 1;
  private static final int SECCOMP_FILTER_FLAG_TSYNC = 1;
  private static final int SECCOMP_RET_ACTION_FULL = 0xffff_0000;
  private static final int SECCOMP_RET_USER_NOTIF = 0x7fc0_0000;
  /** {@code linux/bpf_common.h}: {@code BPF_RET | BPF_K}. */
  private static final int BPF_RET_K = 0x06;
  private static final int INSTRUCTION_BYTES = 8;

  private final Map<seccomp_filter, Integer> numbers = new LinkedHashMap<>();

  /** Writes the mode of a stopped thread, and its filters, into its entry. */
  void capture(RemoteTask task, TaskStatus status, thread_core_entry.Builder core) {
    int mode = (int) status.number("Seccomp");
    if (mode == seccomp_mode.strict_VALUE) {
      core.setSeccompMode(seccomp_mode.strict);
    } else if (mode == seccomp_mode.filter_VALUE) {
      core.setSeccompMode(seccomp_mode.filter).setSeccompFilter(chain(task));
    }
  }

  private int chain(RemoteTask task) {
    int last = -1;
    for (int index = 0; ; index++) {
      var program = Ptrace.seccompFilter(task.tid(), index);
      if (program.isEmpty()) {
        return last;
      }
      requireNoListener(task, program.get());
      var filter = seccomp_filter.newBuilder().setFilter(ByteString.copyFrom(program.get()));
      if (last >= 0) {
        filter.setPrev(last);
      }
      int flags = Ptrace.seccompFlags(task.tid(), index);
      if (flags != 0) {
        filter.setFlags(flags);
      }
      last = numbers.computeIfAbsent(filter.build(), added -> numbers.size());
    }
  }

  /** Looks at a stopped thread of a container that otherwise runs on. */
  static void requireCarriable(RemoteTask task) {
    if (SeccompSuspension.isPossible()) {
      var program = Ptrace.seccompFilter(task.tid(), 0);
      for (int index = 1; program.isPresent(); index++) {
        requireNoListener(task, program.get());
        program = Ptrace.seccompFilter(task.tid(), index);
      }
    }
  }

  private static void requireNoListener(RemoteTask task, byte[] program) {
    // struct sock_filter: u16 code, u8 jt, u8 jf, u32 k
    var in = ByteBuffer.wrap(program).order(ByteOrder.LITTLE_ENDIAN);
    for (int at = 0; at < program.length; at += INSTRUCTION_BYTES) {
      if (in.getShort(at) == BPF_RET_K && (in.getInt(at + 4) & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF) {
        throw new CheckpointException(
            "thread " + task.tid() + " of process " + task.pid() + " has a seccomp filter that asks a supervisor (SECCOMP_RET_USER_NOTIF), which cannot be"
                + " carried; start the program without that supervisor");
      }
    }
  }

  /** Every filter of the captured threads, if there is any. */
  Optional<seccomp_entry> entry() {
    return numbers.isEmpty() ? Optional.empty() : Optional.of(seccomp_entry.newBuilder().addAllSeccompFilters(numbers.keySet()).build());
  }

  /** Gives the threads of a stub their filters, while they have every right and filters do not act. */
  static void restore(seccomp_entry filters, process_state state, List<RemoteTask> threads) {
    var chains = new ArrayList<List<Integer>>();
    for (core_entry thread : state.getThreadsList()) {
      chains.add(chain(filters, thread.getThreadCore()));
    }
    int common = threads.size() == 1 ? 0 : common(chains);
    for (int number : chains.getFirst().subList(0, common)) {
      install(threads.getFirst(), filters.getSeccompFilters(number), SECCOMP_FILTER_FLAG_TSYNC);
    }
    for (int i = 0; i < threads.size(); i++) {
      var chain = chains.get(i);
      for (int number : chain.subList(common, chain.size())) {
        install(threads.get(i), filters.getSeccompFilters(number), 0);
      }
      if (state.getThreads(i).getThreadCore().getSeccompMode() == seccomp_mode.strict) {
        threads.get(i).call("seccomp(SECCOMP_SET_MODE_STRICT)", SyscallNumber.SECCOMP, SECCOMP_SET_MODE_STRICT, 0, 0);
      }
    }
  }

  /** Numbers of a thread's filters, in the order in which they were installed. */
  private static List<Integer> chain(seccomp_entry filters, thread_core_entry core) {
    var chain = new ArrayList<Integer>();
    if (core.getSeccompMode() != seccomp_mode.filter) {
      return chain;
    }
    int number = core.getSeccompFilter();
    while (true) {
      if (number < 0 || number >= filters.getSeccompFiltersCount() || !chain.isEmpty() && number >= chain.getFirst()) {
        throw new CheckpointException("the state refers to seccomp filter " + number + ", which it does not hold");
      }
      chain.addFirst(number);
      var filter = filters.getSeccompFilters(number);
      if (!filter.hasPrev()) {
        return chain;
      }
      number = filter.getPrev();
    }
  }

  /** How many filters, from the first on, all chains have in common. */
  static int common(List<List<Integer>> chains) {
    var first = chains.getFirst();
    int length = first.size();
    for (var chain : chains) {
      length = Math.min(length, chain.size());
      // Each filter names the one before it, so what is equal at one place is equal before it.
      while (length > 0 && !chain.get(length - 1).equals(first.get(length - 1))) {
        length--;
      }
    }
    return length;
  }

  private static void install(RemoteTask task, seccomp_filter filter, int flags) {
    byte[] program = filter.getFilter().toByteArray();
    var batch = task.newBatch();
    // struct sock_fprog: unsigned short len, struct sock_filter *filter
    var argument =
        ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(program.length / INSTRUCTION_BYTES).putLong(batch.bytes(program)).array();
    batch.call("seccomp(SECCOMP_SET_MODE_FILTER)", SyscallNumber.SECCOMP, SECCOMP_SET_MODE_FILTER, filter.getFlags() | flags, batch.bytes(argument));
    task.run(batch);
  }
}
