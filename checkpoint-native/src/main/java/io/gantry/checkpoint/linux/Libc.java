package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;

/**
 * How this package reaches the C library: handles that capture {@code errno}, and the generic {@code syscall(2)}.
 *
 * <p>errno is captured into a segment per thread, so concurrent tracers never see each other's errors.
 */
final class Libc {
  private static final Linker LINKER = Linker.nativeLinker();
  private static final StructLayout CAPTURE = Linker.Option.captureStateLayout();
  private static final VarHandle ERRNO = CAPTURE.varHandle(MemoryLayout.PathElement.groupElement("errno"));
  // Owned by the thread through the automatic arena: freed when the thread's value becomes unreachable.
  private static final ThreadLocal<MemorySegment> STATE =
      ThreadLocal.withInitial(Libc::newState);

  /** {@code long syscall(long number, ...)} with six longs, which is how the kernel sees any call. */
  private static final MethodHandle SYSCALL =
      downcall(
          "syscall",
          FunctionDescriptor.of(
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_LONG),
          Linker.Option.firstVariadicArg(1));

  private Libc() {}

  /** A handle whose first parameter is the segment from {@link #state()}. */
  static MethodHandle downcall(String name, FunctionDescriptor descriptor, Linker.Option... options) {
    var all = new Linker.Option[options.length + 1];
    System.arraycopy(options, 0, all, 0, options.length);
    all[options.length] = Linker.Option.captureCallState("errno");
    var symbol =
        LINKER.defaultLookup().find(name).orElseThrow(() -> new IllegalStateException("the C library has no " + name));
    return LINKER.downcallHandle(symbol, descriptor, all);
  }

  static MemorySegment newState() {
    return Arena.ofAuto().allocate(CAPTURE);
  }

  static MemorySegment state() {
    return Thread.currentThread() instanceof CallingThread caller ? caller.state() : STATE.get();
  }

  /** The error number that the last call of this thread left. */
  static int errno() {
    return (int) ERRNO.get(state(), 0L);
  }

  /** Puts back an error number that a later call of this thread has overwritten. */
  static void errno(int value) {
    ERRNO.set(state(), 0L, value);
  }

  /**
   * Any system call. Restarts on {@code EINTR} are up to the caller.
   *
   * @return the result, or minus the error number
   */
  static long syscall(long number, long a, long b, long c, long d, long e, long f) {
    try {
      long result = (long) SYSCALL.invokeExact(state(), number, a, b, c, d, e, f);
      return result == -1 ? -errno() : result;
    } catch (Throwable thrown) {
      throw new AssertionError("syscall(2) through FFM cannot throw", thrown);
    }
  }

  static long syscall(long number, long a, long b, long c) {
    return syscall(number, a, b, c, 0, 0, 0);
  }

  /** Throws when {@code result} is a negated error number, else returns it. {@code call} is only built on failure. */
  static long check(long result, java.util.function.Supplier<String> call) {
    if (result < 0 && result > -4096) {
      throw new KernelException(call.get(), (int) -result);
    }
    return result;
  }
}
