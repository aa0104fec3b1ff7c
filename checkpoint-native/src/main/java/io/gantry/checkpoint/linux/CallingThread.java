package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A platform thread that makes a great many calls through this package: what each call needs of native memory hangs on the thread itself, where it is found
 * without a {@link ThreadLocal}. Other threads may call as well, and only take a little longer.
 */
public final class CallingThread extends Thread {
  private final MemorySegment state;
  private final MemorySegment scratch;

  /** A daemon, not started yet, with the nice value of who starts it. */
  public CallingThread(String name, Runnable work) {
    super(null, work, name);
    setDaemon(true);
    // Automatic: freed when this object is unreachable.
    state = Libc.newState();
    scratch = Arena.ofAuto().allocate(Scratch.BYTES, Scratch.ALIGNMENT);
  }

  MemorySegment state() {
    return state;
  }

  MemorySegment scratch() {
    return scratch;
  }
}
