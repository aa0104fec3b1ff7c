package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.ProcMem;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.Ptrace;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Optional;

/**
 * The places of a running program's address space that injection borrows and gives back: the zero bytes behind the vdso's ELF image
 * for the code, and a stretch of stack that nobody uses for frame, table and data. No mapping is added, so the address space looks
 * the same at every instant, and an agent that dies leaves nothing but bytes that nobody reads.
 *
 * <p>The stretch can be cut into lanes, each with a frame, a table and data of its own and the room that a frame needs below it, so that several threads run
 * short batches at the same time.
 *
 * <p>Belongs to the tracer thread; the whole process, or at least the thread that runs, is stopped.
 */
final class InjectionSite {
  static final int CALLS_MAX = 96;
  static final int DATA_MAX = 8 * 1024;

  /** What a lane has: enough for what a thread is asked. */
  static final int LANE_CALLS_MAX = 24;

  static final int LANE_DATA_MAX = 1024;

  /** One is on its way while the tracer prepares the next and reads the answers of the one before; more would only take more of the stack. */
  private static final int LANES_WANTED = 4;

  /** Below the frame: room for a handler's own frame, should a signal come after the agent's death and before the frame is used. */
  private static final int SPARE = 8 * 1024;

  private static final int PAGE = 4096;
  private static final int RED_ZONE = 128;
  private static final int ELF_HEADER = 64;

  private final int pid;
  private final long code;
  private final long area;
  private final byte[] saved;
  private final long frame;
  private final int frameBytes;
  private final int laneBytes;
  private boolean installed;

  private InjectionSite(int pid, long code, long area, byte[] saved, int xsaveBytes) {
    this.pid = pid;
    this.code = code;
    this.area = area;
    this.saved = saved;
    this.frame = area + SPARE;
    this.frameBytes = frameBytes(xsaveBytes);
    this.laneBytes = laneBytes(xsaveBytes);
  }

  /** Frame and XSAVE area with its end mark, up to the entry that ends a batch. */
  private static int frameBytes(int xsaveBytes) {
    return SignalFrame.XSAVE + xsaveBytes + 4 + 63 & ~63;
  }

  private static int laneBytes(int xsaveBytes) {
    return SPARE + frameBytes(xsaveBytes) + (LANE_CALLS_MAX + 1) * CallBatch.ENTRY_BYTES + LANE_DATA_MAX + 63 & ~63;
  }

  /**
   * Finds room and puts the code in place.
   *
   * @param thread a stopped thread of the process
   * @param leader registers of the main thread when that is stopped as well
   */
  static InjectionSite install(StoppedThread thread, Optional<Registers> leader, int xsaveBytes) {
    int pid = thread.pid();
    var mappings = Mapping.of(pid);
    var vdso =
        mappings.stream()
            .filter(m -> m.name().equals(Mapping.VDSO))
            .findFirst()
            .orElseThrow(() -> new CheckpointException("process " + pid + " has no vdso, so no call can be injected into it"));
    long code = codeAddress(thread, vdso);
    int size = Math.ceilDiv(SPARE + SignalFrame.XSAVE + xsaveBytes + 64 + (CALLS_MAX + 1) * CallBatch.ENTRY_BYTES + DATA_MAX, PAGE) * PAGE;
    long area = 0;
    var stack = mappings.stream().filter(m -> m.name().equals(Mapping.STACK)).findFirst();
    int several = Math.ceilDiv(LANES_WANTED * laneBytes(xsaveBytes), PAGE) * PAGE;
    if (stack.isPresent() && several > size && thread.process().threads().size() > 1) {
      area = lowEnd(pid, stack.get(), several, leader);
      size = area == 0 ? size : several;
    }
    if (stack.isPresent() && area == 0) {
      area = lowEnd(pid, stack.get(), size, leader);
    }
    if (area == 0) {
      area = belowStackPointer(thread, mappings, size);
    }
    var site = new InjectionSite(pid, code, area, ProcessVm.read(pid, area, size), xsaveBytes);
    byte[] bytes = CallLoop.code();
    site.installed = true;
    site.poke(thread.tid(), bytes);
    return site;
  }

  /** The low end of the main thread's stack, when nothing there is in use; else 0. */
  private static long lowEnd(int pid, Mapping stack, int size, Optional<Registers> leader) {
    long end = stack.start() + size;
    if (!stack.protection().startsWith("rw") || end + PAGE > stack.end()) {
      return 0;
    }
    if (leader.isPresent() && stack.contains(leader.get().stackPointer())) {
      return end + PAGE <= leader.get().stackPointer() ? stack.start() : 0;
    }
    // The main thread runs on another stack, or has ended: only what was never written is surely free.
    byte[] content = ProcessVm.read(pid, stack.start(), size);
    for (byte b : content) {
      if (b != 0) {
        return 0;
      }
    }
    return stack.start();
  }

  /** As a signal handler's frame would be: below the thread's own stack pointer and its red zone. */
  private static long belowStackPointer(StoppedThread thread, List<Mapping> mappings, int size) {
    long top = (thread.registers().stackPointer() - RED_ZONE & -64L) - size;
    return mappings.stream()
        .filter(m -> m.contains(thread.registers().stackPointer()) && m.protection().startsWith("rw") && m.start() <= top)
        .findFirst()
        .map(m -> top)
        .orElseThrow(
            () ->
                new CheckpointException(
                    "process "
                        + thread.pid()
                        + " has no unused stack of "
                        + size
                        + " bytes in which calls could be injected into thread "
                        + thread.tid()));
  }

  private static long codeAddress(StoppedThread thread, Mapping vdso) {
    int pid = thread.pid();
    int length = (int) (vdso.end() - vdso.start());
    byte[] image = ProcessVm.read(pid, vdso.start(), length);
    var elf = ByteBuffer.wrap(image).order(ByteOrder.LITTLE_ENDIAN);
    // e_shoff, e_shentsize, e_shnum: the section headers are the last thing in the image.
    long end = elf.getLong(40) + (long) elf.getShort(58) * elf.getShort(60);
    refuseWhileRunning(thread.process(), vdso.start() + end, vdso.end());
    int first = (int) (Math.max(end, ELF_HEADER) + 63) & ~63;
    for (int from = first; from + CallLoop.length() <= length; from += CallLoop.length()) {
      if (isFree(image, from)) {
        return vdso.start() + from;
      }
    }
    throw new CheckpointException(
        "the vdso of process "
            + pid
            + " has no "
            + CallLoop.length()
            + " unused bytes behind its image ("
            + end
            + " of "
            + length
            + " bytes are taken), so no call can be injected");
  }

  /** Zero, or left by an agent that died in the middle: then it is our own code that lies there, perhaps not all of it. */
  private static boolean isFree(byte[] image, int from) {
    byte[] code = CallLoop.code();
    for (int i = 0; i < code.length; i++) {
      if (image[from + i] != 0 && image[from + i] != code[i]) {
        return false;
      }
    }
    return true;
  }

  private static void refuseWhileRunning(StoppedProcess process, long start, long end) {
    for (var thread : process.threads()) {
      long at = thread.registers().instructionPointer();
      if (Long.compareUnsigned(at, start) >= 0 && Long.compareUnsigned(at, end) < 0) {
        throw new CheckpointException(
            thread + " still runs calls that were injected by an agent that has died; it will come back by itself, try again");
      }
    }
  }

  /** Into the vdso, which is not writable. */
  private void poke(int tid, byte[] bytes) {
    try (var arena = Arena.ofConfined();
        var memory = ProcMem.open(pid)) {
      memory.write(code, arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes));
    } catch (KernelException refused) {
      // Kernels can be told to let nobody write there in this way (proc_mem.force_override); or the process was killed, which ptrace says as well.
      pokeWords(tid, bytes);
    }
  }

  private void pokeWords(int tid, byte[] bytes) {
    var words = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < bytes.length; i += 8) {
      Ptrace.poke(tid, code + i, words.getLong(i));
    }
  }

  CallBatch newBatch() {
    return new CallBatch(table(), CALLS_MAX, DATA_MAX);
  }

  /** How many lanes there are, at least one. */
  int lanes() {
    return Math.max(1, saved.length / laneBytes);
  }

  /** A short batch that may run while those of other lanes do. @param lane 0 to {@link #lanes} − 1; where the first one is, other batches are as well */
  CallBatch laneBatch(int lane) {
    return new CallBatch(table() + (long) lane * laneBytes, LANE_CALLS_MAX, LANE_DATA_MAX);
  }

  /** Address of the code. */
  long code() {
    return code;
  }

  /** The frame of a batch. @param batch its address */
  long frame(long batch) {
    return endEntry(batch) - frameBytes;
  }

  /** The entry with the {@code tgkill} that ends a batch. @param batch its address */
  long endEntry(long batch) {
    return batch - CallBatch.ENTRY_BYTES;
  }

  private long table() {
    return frame + frameBytes + CallBatch.ENTRY_BYTES;
  }

  /** Takes code and data out again. {@code tid}: any stopped thread of the process. */
  void remove(int tid) {
    if (installed) {
      installed = false;
      poke(tid, new byte[CallLoop.length()]);
      ProcessVm.write(pid, area, saved, saved.length);
    }
  }
}
