package io.gantry.checkpoint.procfs;

import java.nio.file.NoSuchFileException;
import java.util.function.Function;

/** {@code /proc/PID/stat}, see {@code man 5 proc_pid_stat}. Immutable. */
public final class TaskStat {
  private static final String FILE = "/proc/PID/stat";
  private static final int STATE = 3;
  private static final int PPID = 4;
  private static final int TTY = 7;
  /** {@code UNIX98_PTY_SLAVE_MAJOR}, {@code linux/major.h}. */
  private static final int PSEUDO_TERMINALS = 136;
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
    return Understanding.of(FILE, () -> text, () -> understand(text));
  }

  private static TaskStat understand(String text) {
    // The name is in parentheses and may hold parentheses and spaces itself.
    int open = text.indexOf('(');
    int close = text.lastIndexOf(')');
    return new TaskStat(text.substring(open + 1, close), text.substring(close + 2).strip().split(" "));
  }

  private <T> T field(int number, Function<String, T> parser) {
    return Understanding.of(FILE, () -> String.join(" ", fields), () -> parser.apply(fields[number - STATE]));
  }

  public String name() {
    return name;
  }

  public char state() {
    return field(STATE, text -> text.charAt(0));
  }

  public int parent() {
    return field(PPID, Integer::parseInt);
  }

  /** Device number of the controlling terminal, 0 when there is none. */
  public int terminal() {
    return field(TTY, Integer::parseInt);
  }

  /**
   * Number of the controlling terminal, if that is a pseudo-terminal, plus one; 0 otherwise. Major 136, minor in two parts ({@code new_encode_dev},
   * {@code linux/kdev_t.h}).
   */
  public int pseudoTerminal() {
    int device = terminal();
    return (device >>> 8 & 0xfff) == PSEUDO_TERMINALS ? (device & 0xff | device >>> 12 & ~0xff) + 1 : 0;
  }

  /** Start time in clock ticks since boot, which tells a process from a later one with the same id. */
  public long startTicks() {
    return field(START_TICKS, Long::parseLong);
  }

  /** Wait status of a zombie. */
  public int exitCode() {
    return field(EXIT_CODE, Integer::parseInt);
  }
}
