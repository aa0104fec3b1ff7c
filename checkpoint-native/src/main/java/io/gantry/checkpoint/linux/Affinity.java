package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** {@code sched_setaffinity(2)} and {@code sched_getaffinity(2)} of the calling thread. Masks have bit n for processor n. */
public final class Affinity {
  /** Room for 8192 processors, the kernel's own limit. */
  private static final int MASK_BYTES = 1024;

  private Affinity() {}

  public static byte[] get() {
    var scratch = Scratch.get().asSlice(0, MASK_BYTES);
    long length =
        Libc.check(Libc.syscall(SyscallNumber.SCHED_GETAFFINITY, 0, MASK_BYTES, scratch.address()), () -> "sched_getaffinity");
    return scratch.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE);
  }

  /** Returns 0 or minus the error number ({@code EINVAL}: no such processor, or not ours to use). */
  public static int set(byte[] mask) {
    var scratch = Scratch.get();
    MemorySegment.copy(mask, 0, scratch, ValueLayout.JAVA_BYTE, 0, mask.length);
    return (int) Libc.syscall(SyscallNumber.SCHED_SETAFFINITY, 0, mask.length, scratch.address());
  }

  /** Moves the calling thread to one processor; as {@link #set}. */
  public static int setOne(int processor) {
    byte[] mask = new byte[MASK_BYTES];
    mask[processor / 8] = (byte) (1 << processor % 8);
    return set(mask);
  }

  /** {@code sched_yield(2)}. */
  public static void yield() {
    Libc.syscall(SyscallNumber.SCHED_YIELD, 0, 0, 0);
  }
}
