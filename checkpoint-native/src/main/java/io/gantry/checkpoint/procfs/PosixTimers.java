package io.gantry.checkpoint.procfs;

import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.List;

/** {@code /proc/PID/timers}: what {@code timer_create(2)} was told. */
public final class PosixTimers {
  private PosixTimers() {}

  /**
   * One timer.
   *
   * @param signal number, 0 with {@code SIGEV_NONE}
   * @param value what {@code sigev_value} holds
   * @param notification {@code SIGEV_SIGNAL} 0, {@code SIGEV_NONE} 1, {@code SIGEV_THREAD} 2; plus 4 ({@code SIGEV_THREAD_ID}) when one thread is told
   * @param target id of the process or thread that is told, as the host counts
   */
  public record Timer(int id, int signal, long value, int notification, int target, int clock) {}

  public static List<Timer> of(int pid) throws NoSuchFileException {
    return parse(ProcText.read("/proc/" + pid + "/timers"));
  }

  static List<Timer> parse(String text) {
    return Understanding.of("/proc/PID/timers", () -> text, () -> understand(text));
  }

  private static List<Timer> understand(String text) {
    var timers = new ArrayList<Timer>();
    int id = 0;
    int signal = 0;
    long value = 0;
    int notification = 0;
    int target = 0;
    for (String line : text.split("\n")) {
      int colon = line.indexOf(':');
      String rest = line.substring(colon + 1).strip();
      switch (colon < 0 ? "" : line.substring(0, colon)) {
        case "ID" -> id = Integer.parseInt(rest);
        case "signal" -> {
          int slash = rest.indexOf('/');
          signal = Integer.parseInt(rest.substring(0, slash));
          value = Long.parseUnsignedLong(rest.substring(slash + 1), 16);
        }
        case "notify" -> {
          int slash = rest.indexOf('/');
          int dot = rest.indexOf('.');
          notification =
              switch (rest.substring(0, slash)) {
                case "signal" -> 0;
                case "none" -> 1;
                case "thread" -> 2;
                default -> throw new IllegalArgumentException("unknown notification in /proc/PID/timers: " + line);
              };
          notification |= rest.substring(slash + 1, dot).equals("tid") ? 4 : 0;
          target = Integer.parseInt(rest.substring(dot + 1));
        }
        case "ClockID" -> timers.add(new Timer(id, signal, value, notification, target, Integer.parseInt(rest)));
        default -> {
          // Fields of later kernels.
        }
      }
    }
    return timers;
  }
}
