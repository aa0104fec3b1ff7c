package io.gantry.checkpoint.procfs;

import java.nio.charset.StandardCharsets;

/** State letter and flags of {@code /proc/PID/stat}. */
public final class TaskState {
  /** {@code PF_EXITING} of {@code linux/sched.h}, in field 9. */
  private static final long EXITING = 4;

  private TaskState() {}

  /** Whether the process is gone, on its way out, or a zombie: it has no address space. */
  public static boolean ended(int pid) {
    try {
      String stat = new String(ProcBytes.read(pid, "stat"), StandardCharsets.ISO_8859_1);
      String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
      return fields[0].equals("Z") || fields[0].equals("X") || (Long.parseLong(fields[9 - 3]) & EXITING) != 0;
    } catch (ProcessGoneException e) {
      return true;
    }
  }
}
