package io.gantry.checkpoint.linux;

import java.lang.foreign.MemoryLayout;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Argument of {@code clone3(2)} ({@code linux/sched.h}). The call itself is made inside stubs. */
public final class Clone3 {
  public static final long VM = 0x100;
  public static final long FS = 0x200;
  public static final long FILES = 0x400;
  public static final long SIGHAND = 0x800;
  /** The child is traced by the caller's tracer, with the same options, from before its first instruction. */
  public static final long PTRACE = 0x2000;
  public static final long VFORK = 0x4000;
  public static final long PARENT = 0x8000;
  public static final long THREAD = 0x10000;
  public static final long NEWNS = 0x20000;
  public static final long SYSVSEM = 0x40000;
  public static final long NEWUTS = 0x0400_0000;
  public static final long NEWNET = 0x4000_0000L;
  public static final long NEWIPC = 0x0800_0000;
  public static final long NEWPID = 0x2000_0000;
  public static final long IO = 0x8000_0000L;
  public static final long CLEAR_SIGHAND = 0x1_0000_0000L;
  public static final long INTO_CGROUP = 0x2_0000_0000L;

  static final StructLayout ARGUMENTS =
      MemoryLayout.structLayout(
              ValueLayout.JAVA_LONG.withName("flags"),
              ValueLayout.JAVA_LONG.withName("pidfd"),
              ValueLayout.JAVA_LONG.withName("child_tid"),
              ValueLayout.JAVA_LONG.withName("parent_tid"),
              ValueLayout.JAVA_LONG.withName("exit_signal"),
              ValueLayout.JAVA_LONG.withName("stack"),
              ValueLayout.JAVA_LONG.withName("stack_size"),
              ValueLayout.JAVA_LONG.withName("tls"),
              ValueLayout.JAVA_LONG.withName("set_tid"),
              ValueLayout.JAVA_LONG.withName("set_tid_size"),
              ValueLayout.JAVA_LONG.withName("cgroup"))
          .withName("clone_args");

  /** Bytes of the structure. */
  public static final int BYTES = (int) ARGUMENTS.byteSize();

  private Clone3() {}

  /**
   * The structure's bytes.
   *
   * @param exitSignal what the parent gets; 0 with {@link #THREAD} or {@link #PARENT}
   * @param setTid address, in the caller, of the wanted ids (ints, innermost namespace first), or 0
   * @param setTidSize how many ids
   * @param cgroup descriptor of the cgroup with {@link #INTO_CGROUP}, else 0
   */
  public static byte[] arguments(long flags, int exitSignal, long setTid, int setTidSize, int cgroup) {
    return ByteBuffer.allocate(BYTES)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(0, flags)
        .putLong(32, exitSignal)
        .putLong(64, setTid)
        .putLong(72, setTidSize)
        .putLong(80, cgroup)
        .array();
  }
}
