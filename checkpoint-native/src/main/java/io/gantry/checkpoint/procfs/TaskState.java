package io.gantry.checkpoint.procfs;

import java.nio.charset.StandardCharsets;

/** State letter of {@code /proc/PID/stat}. */
public final class TaskState {
  private TaskState() {}

  /** Whether the process is gone, or a zombie without an address space. */
  public static boolean ended(int pid) {
    try {
      String stat = new String(ProcBytes.read(pid, "stat"), StandardCharsets.ISO_8859_1);
      char state = stat.charAt(stat.lastIndexOf(')') + 2);
      return state == 'Z' || state == 'X';
    } catch (ProcessGoneException e) {
      return true;
    }
  }
}
