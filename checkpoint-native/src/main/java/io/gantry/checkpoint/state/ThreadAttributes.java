package io.gantry.checkpoint.state;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.image.thread_core_entry;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.tracee.CallBatch;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Attributes that hardly any thread has changed ({@code linux/prctl.h}, {@code asm/prctl.h}, {@code linux/mempolicy.h}); what has not been changed is
 * neither recorded nor set. The calls ride along in the batch that a thread runs anyway.
 */
final class ThreadAttributes {
  private static final int PR_GET_TSC = 25;
  private static final int PR_SET_TSC = 26;
  private static final int PR_TSC_ENABLE = 1;
  private static final int PR_GET_SPECULATION_CTRL = 52;
  private static final int PR_SET_SPECULATION_CTRL = 53;
  private static final int PR_SPEC_STORE_BYPASS = 0;
  private static final int PR_SPEC_INDIRECT_BRANCH = 1;
  /** In what {@code PR_GET_SPECULATION_CTRL} answers: the thread may choose; the others say what it has chosen. */
  private static final int PR_SPEC_PRCTL = 1;

  private static final int PR_SPEC_ENABLE = 2;
  private static final int PR_SET_IO_FLUSHER = 57;
  private static final int PR_GET_IO_FLUSHER = 58;
  private static final int ARCH_GET_CPUID = 0x1011;
  private static final int ARCH_SET_CPUID = 0x1012;

  /** Room for the largest set of nodes a kernel can be built for, {@code MAX_NUMNODES}. */
  private static final int NODES_MAX = 1024;

  private final CallBatch batch;
  private final long counterAt;
  private final long policyAt;
  private final long nodesAt;
  private final CallBatch.Call storeBypass;
  private final CallBatch.Call indirectBranch;
  private final CallBatch.Call flusher;
  private final CallBatch.Call cpuid;
  private final CallBatch.Call policy;

  private ThreadAttributes(CallBatch batch) {
    this.batch = batch;
    counterAt = batch.reserve(4);
    policyAt = batch.reserve(4);
    nodesAt = batch.reserve(NODES_MAX / 8);
    batch.call("prctl(PR_GET_TSC)", SyscallNumber.PRCTL, PR_GET_TSC, counterAt);
    storeBypass = batch.attempt("prctl(PR_GET_SPECULATION_CTRL)", SyscallNumber.PRCTL, PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0);
    indirectBranch = batch.attempt("prctl(PR_GET_SPECULATION_CTRL)", SyscallNumber.PRCTL, PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, 0, 0, 0);
    // Refused to a thread without CAP_SYS_RESOURCE, which could not be one either.
    flusher = batch.attempt("prctl(PR_GET_IO_FLUSHER)", SyscallNumber.PRCTL, PR_GET_IO_FLUSHER, 0, 0, 0, 0);
    cpuid = batch.attempt("arch_prctl(ARCH_GET_CPUID)", SyscallNumber.ARCH_PRCTL, ARCH_GET_CPUID, 0);
    policy = batch.attempt("get_mempolicy", SyscallNumber.GET_MEMPOLICY, policyAt, nodesAt, NODES_MAX, 0, 0);
  }

  /** Adds the questions. */
  static ThreadAttributes ask(CallBatch batch) {
    return new ThreadAttributes(batch);
  }

  /** When the batch has run. */
  void record(thread_core_entry.Builder core) {
    int counter = ThreadStateCapture.littleEndian(batch.read(counterAt, 4)).getInt(0);
    if (counter != PR_TSC_ENABLE) {
      core.setTimeStampCounter(counter);
    }
    if (isChosen(storeBypass)) {
      core.setStoreBypass((int) storeBypass.result() & ~PR_SPEC_PRCTL);
    }
    if (isChosen(indirectBranch)) {
      core.setIndirectBranch((int) indirectBranch.result() & ~PR_SPEC_PRCTL);
    }
    if (flusher.result() == 1) {
      core.setIoFlusher(true);
    }
    if (cpuid.result() == 0) {
      core.setCpuidFaults(true);
    }
    int mode = ThreadStateCapture.littleEndian(batch.read(policyAt, 4)).getInt(0);
    if (policy.result() == 0 && mode != 0) {
      core.setMemoryPolicy(mode).setMemoryNodes(ByteString.copyFrom(withoutZeros(batch.read(nodesAt, NODES_MAX / 8))));
    }
  }

  private static boolean isChosen(CallBatch.Call asked) {
    return asked.result() > 0 && (asked.result() & PR_SPEC_PRCTL) != 0 && asked.result() != (PR_SPEC_PRCTL | PR_SPEC_ENABLE);
  }

  private static byte[] withoutZeros(byte[] bytes) {
    int length = bytes.length;
    while (length > 0 && bytes[length - 1] == 0) {
      length--;
    }
    return Arrays.copyOf(bytes, length);
  }

  /** Adds the calls; the thread still has every right. */
  static void restore(CallBatch batch, thread_core_entry core) {
    if (core.hasStoreBypass()) {
      speculation(batch, PR_SPEC_STORE_BYPASS, core.getStoreBypass());
    }
    if (core.hasIndirectBranch()) {
      speculation(batch, PR_SPEC_INDIRECT_BRANCH, core.getIndirectBranch());
    }
    if (core.getIoFlusher()) {
      batch.call("prctl(PR_SET_IO_FLUSHER)", SyscallNumber.PRCTL, PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    }
    if (core.hasMemoryPolicy()) {
      byte[] nodes = ByteBuffer.allocate(NODES_MAX / 8).order(ByteOrder.LITTLE_ENDIAN).put(core.getMemoryNodes().toByteArray()).array();
      // The kernel takes one bit less than it is told.
      batch.call(
          "set_mempolicy", SyscallNumber.SET_MEMPOLICY, core.getMemoryPolicy(), core.getMemoryNodes().isEmpty() ? 0 : batch.bytes(nodes), NODES_MAX);
    }
    if (core.getCpuidFaults()) {
      batch.call("arch_prctl(ARCH_SET_CPUID)", SyscallNumber.ARCH_PRCTL, ARCH_SET_CPUID, 0);
    }
    if (core.hasTimeStampCounter()) {
      batch.call("prctl(PR_SET_TSC)", SyscallNumber.PRCTL, PR_SET_TSC, core.getTimeStampCounter());
    }
  }

  private static void speculation(CallBatch batch, int which, int chosen) {
    batch.call("prctl(PR_SET_SPECULATION_CTRL)", SyscallNumber.PRCTL, PR_SET_SPECULATION_CTRL, which, chosen, 0, 0);
  }
}
