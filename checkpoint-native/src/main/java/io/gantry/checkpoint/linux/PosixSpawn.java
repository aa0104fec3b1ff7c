package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.List;

/**
 * {@code posix_spawn(3)}: the only sound way to make a child from a JVM, whose threads do not survive {@code fork}. The child starts
 * in a session of its own, with no signal blocked and every signal at its default, except those that the C library keeps to itself
 * ({@link Signals#OF_THE_C_LIBRARY}), which glibc ignores in the child.
 */
public final class PosixSpawn {
  private static final short SETSIGDEF = 0x04;
  private static final short SETSIGMASK = 0x08;
  private static final short SETSID = 0x80;
  /** Bytes of glibc's {@code posix_spawnattr_t} and {@code sigset_t}; musl's are not larger. */
  private static final int ATTRIBUTES_BYTES = 336;

  private static final int SIGSET_BYTES = 128;

  private static final MethodHandle SPAWN =
      Libc.downcall(
          "posix_spawn",
          FunctionDescriptor.of(
              ValueLayout.JAVA_INT,
              ValueLayout.ADDRESS,
              ValueLayout.ADDRESS,
              ValueLayout.ADDRESS,
              ValueLayout.ADDRESS,
              ValueLayout.ADDRESS,
              ValueLayout.ADDRESS));
  private static final MethodHandle ATTRIBUTES_INIT = attribute("posix_spawnattr_init");
  private static final MethodHandle ATTRIBUTES_DESTROY = attribute("posix_spawnattr_destroy");
  private static final MethodHandle SET_FLAGS =
      Libc.downcall(
          "posix_spawnattr_setflags",
          FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_SHORT));
  private static final MethodHandle SET_MASK = set("posix_spawnattr_setsigmask");
  private static final MethodHandle SET_DEFAULT = set("posix_spawnattr_setsigdefault");

  private PosixSpawn() {}

  private static MethodHandle attribute(String name) {
    return Libc.downcall(name, FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS));
  }

  private static MethodHandle set(String name) {
    return Libc.downcall(name, FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.ADDRESS));
  }

  /** Starts a program with the given arguments (the first is its name) and an empty environment; returns its process id. */
  public static int spawn(String path, List<String> arguments) {
    try (var arena = Arena.ofConfined()) {
      var pid = arena.allocate(ValueLayout.JAVA_INT);
      var attributes = arena.allocate(ATTRIBUTES_BYTES, 16);
      var none = arena.allocate(SIGSET_BYTES, 8);
      var all = arena.allocate(SIGSET_BYTES, 8);
      all.set(ValueLayout.JAVA_LONG, 0, -1L);
      var argv = arena.allocate(ValueLayout.ADDRESS, arguments.size() + 1);
      for (int i = 0; i < arguments.size(); i++) {
        argv.setAtIndex(ValueLayout.ADDRESS, i, arena.allocateFrom(arguments.get(i)));
      }
      var state = Libc.state();
      short flags = SETSIGDEF | SETSIGMASK | SETSID;
      int error = (int) ATTRIBUTES_INIT.invokeExact(state, attributes);
      error |= (int) SET_FLAGS.invokeExact(state, attributes, flags);
      error |= (int) SET_MASK.invokeExact(state, attributes, none);
      error |= (int) SET_DEFAULT.invokeExact(state, attributes, all);
      if (error == 0) {
        error =
            (int)
                SPAWN.invokeExact(
                    state, pid, arena.allocateFrom(path), MemorySegment.NULL, attributes, argv, arena.allocate(ValueLayout.ADDRESS));
      }
      int ignored = (int) ATTRIBUTES_DESTROY.invokeExact(state, attributes);
      if (error != 0) {
        throw new KernelException("posix_spawn(\"" + path + "\")", error);
      }
      return pid.get(ValueLayout.JAVA_INT, 0);
    } catch (KernelException refused) {
      throw refused;
    } catch (Throwable thrown) {
      throw new AssertionError("posix_spawn through FFM cannot throw", thrown);
    }
  }
}
