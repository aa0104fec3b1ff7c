package io.gantry.checkpoint.procfs;

import java.nio.file.NoSuchFileException;

/**
 * Through which task a process is looked at. One whose main thread has ended while others run on shows nothing of its memory,
 * files and namespaces under its own id ({@code exit_mm} and others in {@code kernel/exit.c}); under that of another thread,
 * which {@code /proc} does not list and has all the same, it does. Any thread.
 */
public final class ThreadGroup {
  private ThreadGroup() {}

  /** The process's id, or that of its first living thread when the main one has ended; the process's id when all have. */
  public static int shownAs(int pid) {
    try {
      return TaskStatus.ofProcess(pid).state() == 'Z' ? firstLiving(pid) : pid;
    } catch (NoSuchFileException ended) {
      return pid;
    }
  }

  /** @param pid of a process whose main thread has ended; as {@link #shownAs} */
  static int firstLiving(int pid) throws NoSuchFileException {
    for (int tid : ProcText.numbers("/proc/" + pid + "/task")) {
      if (tid != pid) {
        try {
          char state = TaskStatus.ofThread(pid, tid).state();
          if (state != 'Z' && state != 'X') {
            return tid;
          }
        } catch (NoSuchFileException ended) {
          continue;
        }
      }
    }
    return pid;
  }
}
