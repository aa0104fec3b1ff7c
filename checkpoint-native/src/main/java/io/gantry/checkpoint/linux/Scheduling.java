package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * How the kernel schedules one thread: {@code sched_getattr(2)}, {@code sched_getaffinity(2)}, {@code ioprio_get(2)} and their
 * counterparts. Any thread may call; changes need {@code CAP_SYS_NICE}. Constants: {@code linux/sched/types.h}, {@code linux/ioprio.h}.
 */
public final class Scheduling {
  /** Bytes of the first version of {@code struct sched_attr}, which holds everything but utilization clamps. */
  public static final int ATTRIBUTES_BYTES = 48;
  /** Where {@code struct sched_attr} has its fields. */
  public static final int POLICY_AT = 4;
  public static final int NICE_AT = 16;
  public static final int PRIORITY_AT = 20;

  private static final int SCHED_OTHER = 0;
  private static final int SCHED_BATCH = 3;

  private static final int AFFINITY_BYTES_MAX = 1024;
  private static final int IOPRIO_WHO_PROCESS = 1;
  private static final int PRIO_PROCESS = 0;

  private Scheduling() {}

  /** The thread's {@code struct sched_attr}. */
  public static byte[] attributes(int tid) {
    var scratch = Scratch.get();
    Libc.check(
        Libc.syscall(SyscallNumber.SCHED_GETATTR, tid, scratch.address(), ATTRIBUTES_BYTES, 0, 0, 0),
        () -> "sched_getattr(" + tid + ")");
    return scratch.asSlice(0, ATTRIBUTES_BYTES).toArray(ValueLayout.JAVA_BYTE);
  }

  /** Whether {@code struct sched_attr} tells the nice value: of ordinary policies only ({@code get_params} in {@code kernel/sched/syscalls.c}). */
  public static boolean hasNice(byte[] attributes) {
    int policy = attributes[POLICY_AT];
    return policy == SCHED_OTHER || policy == SCHED_BATCH;
  }

  public static void setAttributes(int tid, byte[] attributes) {
    var scratch = Scratch.get();
    MemorySegment.copy(attributes, 0, scratch, ValueLayout.JAVA_BYTE, 0, attributes.length);
    scratch.set(ValueLayout.JAVA_INT, 0, attributes.length);
    Libc.check(
        Libc.syscall(SyscallNumber.SCHED_SETATTR, tid, scratch.address(), 0), () -> "sched_setattr(" + tid + ")");
  }

  /** The nice value, which {@code sched_getattr} does not tell of a thread with a real-time policy although it has one. */
  public static int nice(int tid) {
    // The system call, unlike the C library's function, answers 20 minus the value (man 2 getpriority).
    return 20
        - (int)
            Libc.check(
                Libc.syscall(SyscallNumber.GETPRIORITY, PRIO_PROCESS, tid, 0), () -> "getpriority(" + tid + ")");
  }

  public static void setNice(int tid, int value) {
    Libc.check(Libc.syscall(SyscallNumber.SETPRIORITY, PRIO_PROCESS, tid, value), () -> "setpriority(" + tid + ", " + value + ")");
  }

  /** A bit for each CPU on which the thread may run, as long as the kernel's mask. */
  public static byte[] affinity(int tid) {
    var scratch = Scratch.get();
    long bytes =
        Libc.check(
            Libc.syscall(SyscallNumber.SCHED_GETAFFINITY, tid, AFFINITY_BYTES_MAX, scratch.address()),
            () -> "sched_getaffinity(" + tid + ")");
    return scratch.asSlice(0, bytes).toArray(ValueLayout.JAVA_BYTE);
  }

  /** Returns 0 or minus the error number: {@code EINVAL} when this host has none of these CPUs. */
  public static int setAffinity(int tid, byte[] mask) {
    var scratch = Scratch.get();
    MemorySegment.copy(mask, 0, scratch, ValueLayout.JAVA_BYTE, 0, mask.length);
    return (int) Libc.syscall(SyscallNumber.SCHED_SETAFFINITY, tid, mask.length, scratch.address());
  }

  /** Class in bits 13 and up, level below. */
  public static int ioPriority(int tid) {
    return (int)
        Libc.check(Libc.syscall(SyscallNumber.IOPRIO_GET, IOPRIO_WHO_PROCESS, tid, 0), () -> "ioprio_get(" + tid + ")");
  }

  public static void setIoPriority(int tid, int priority) {
    Libc.check(
        Libc.syscall(SyscallNumber.IOPRIO_SET, IOPRIO_WHO_PROCESS, tid, priority),
        () -> "ioprio_set(" + tid + ", " + priority + ")");
  }
}
