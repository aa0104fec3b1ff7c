package io.gantry.checkpoint.procfs;

import java.nio.file.NoSuchFileException;

/** {@code /proc/PID/stat}, see {@code man 5 proc_pid_stat}. Immutable. */
public final class TaskStat {
  private static final int STATE = 3;
  private static final int PPID = 4;
  private static final int TTY = 7;
  private static final int START_TICKS = 22;
  private static final int EXIT_CODE = 52;

  private final String name;
  private final String[] fields;

  private TaskStat(String name, String[] fields) {
    this.name = name;
    this.fields = fields;
  }

  public static TaskStat ofProcess(int pid) throws NoSuchFileException {
    return parse(ProcText.read("/proc/" + pid + "/stat"));
  }

  static TaskStat parse(String text) {
    // The name is in parentheses and may hold parentheses and spaces itself.
    int open = text.indexOf('(');
    int close = text.lastIndexOf(')');
    return new TaskStat(text.substring(open + 1, close), text.substring(close + 2).strip().split(" "));
  }

  private String field(int number) {
    return fields[number - STATE];
  }

  public String name() {
    return name;
  }

  public char state() {
    return field(STATE).charAt(0);
  }

  public int parent() {
    return Integer.parseInt(field(PPID));
  }

  /** Device number of the controlling terminal, 0 when there is none. */
  public int terminal() {
    return Integer.parseInt(field(TTY));
  }

  /** Start time in clock ticks since boot, which tells a process from a later one with the same id. */
  public long startTicks() {
    return Long.parseLong(field(START_TICKS));
  }

  /** Wait status of a zombie. */
  public int exitCode() {
    return Integer.parseInt(field(EXIT_CODE));
  }
}
