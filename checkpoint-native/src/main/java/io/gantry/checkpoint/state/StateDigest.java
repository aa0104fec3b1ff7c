package io.gantry.checkpoint.state;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import io.gantry.checkpoint.image.core_entry;
import io.gantry.checkpoint.image.final_state;
import io.gantry.checkpoint.image.posix_timer_entry;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.image.task_timers_entry;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;

/**
 * The state of a container as bytes that are the same wherever and whenever it is captured: the source's capture and a capture of
 * what was recreated from it must give the same. Left out is what goes on by itself (the time until a timer ends) and what a kernel
 * chooses for itself.
 */
public final class StateDigest {
  private static final int MXCSR_MASK_AT = 28;
  private static final int LEGACY_RESERVED_AT = 464;
  private static final int HEADER_AT = 512;

  private StateDigest() {}

  /** The canonical bytes. */
  public static byte[] canonical(final_state state) {
    var canonical = state.toBuilder().clearProcesses();
    state.getProcessesList().forEach(process -> canonical.addProcesses(canonical(process)));
    return serialize(canonical.build());
  }

  static process_state canonical(process_state process) {
    var canonical = process.toBuilder().clearThreads();
    process.getThreadsList().forEach(thread -> canonical.addThreads(canonical(thread)));
    return canonical.build();
  }

  private static core_entry canonical(core_entry thread) {
    var canonical = thread.toBuilder();
    if (canonical.hasTc()) {
      // The main thread's own fields say the same about the mask.
      canonical.getTcBuilder().setBlkSigset(0);
    }
    if (thread.getTc().hasTimers()) {
      canonical.getTcBuilder().setTimers(withoutTimes(thread.getTc().getTimers()));
    }
    if (canonical.hasThreadCore()) {
      canonical.getThreadCoreBuilder().clearInterruptedCall().clearSchedNice().clearSchedPolicy().clearSchedPrio();
    }
    if (thread.getThreadInfo().getFpregs().hasXsaveArea()) {
      byte[] area = thread.getThreadInfo().getFpregs().getXsaveArea().toByteArray();
      canonical.getThreadInfoBuilder().getFpregsBuilder().setXsaveArea(ByteString.copyFrom(withoutSoftwareBytes(area)));
    }
    return canonical.build();
  }

  /** What is left of each timer changes by itself; that it runs, and its interval, does not. */
  private static task_timers_entry withoutTimes(task_timers_entry timers) {
    var canonical = timers.toBuilder();
    for (var timer : java.util.List.of(canonical.getRealBuilder(), canonical.getVirtBuilder(), canonical.getProfBuilder())) {
      boolean runs = timer.getVsec() != 0 || timer.getVusec() != 0;
      timer.setVsec(runs ? 1 : 0).setVusec(0);
    }
    for (posix_timer_entry.Builder timer : canonical.getPosixBuilderList()) {
      boolean runs = timer.getVsec() != 0 || timer.getVnsec() != 0;
      timer.setVsec(runs ? 1 : 0).setVnsec(0).setOverrun(0);
    }
    return canonical.build();
  }

  /** Bytes 464 to 511 of the legacy area are for software; the kernel puts the size and features there. */
  private static byte[] withoutSoftwareBytes(byte[] area) {
    byte[] canonical = area.clone();
    java.util.Arrays.fill(canonical, MXCSR_MASK_AT, MXCSR_MASK_AT + 4, (byte) 0);
    java.util.Arrays.fill(canonical, LEGACY_RESERVED_AT, Math.min(HEADER_AT, canonical.length), (byte) 0);
    return canonical;
  }

  private static byte[] serialize(final_state state) {
    var bytes = new ByteArrayOutputStream(state.getSerializedSize());
    try {
      var out = CodedOutputStream.newInstance(bytes);
      out.useDeterministicSerialization();
      state.writeTo(out);
      out.flush();
    } catch (IOException e) {
      throw new UncheckedIOException("writing to memory cannot fail", e);
    }
    return bytes.toByteArray();
  }
}
