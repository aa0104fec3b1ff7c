package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.Affinity;
import io.gantry.checkpoint.linux.Fd;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Tells when a thread last was on a processor, in terms of {@link System#nanoTime}.
 *
 * <p>{@code /proc/PID/task/TID/sched} has that moment by the scheduler's clock, of which every processor has its own: time that went
 * to interrupts or to other virtual machines does not count. So the calling thread visits the processor once and compares.
 */
final class SchedulerClock {
  /** Fields of {@code /proc/PID/stat} behind the program's name; {@code processor} is the 39th of all. */
  private static final int PROCESSOR = 36;

  /** What to add to a processor's clock. */
  private final Map<Integer, Long> offsets = new HashMap<>();

  /**
   * @param executedNs when the thread last was on a processor, by that processor's clock
   * @param voluntarySwitches how often it has gone to sleep
   */
  record Schedule(long executedNs, long voluntarySwitches) {
    /** @param task such as {@code "4711/task/4712"}; empty when it is gone */
    static Optional<Schedule> of(String task) {
      return Fd.readIfThere("/proc/" + task + "/sched").map(bytes -> parse(new String(bytes, StandardCharsets.US_ASCII)));
    }

    private static Schedule parse(String text) {
      String[] executed = value(text, "se.exec_start").split("\\.");
      return new Schedule(
          Long.parseLong(executed[0]) * 1_000_000 + Long.parseLong(executed[1]), Long.parseLong(value(text, "nr_voluntary_switches")));
    }

    private static String value(String text, String name) {
      int from = text.indexOf(':', text.indexOf("\n" + name)) + 1;
      return text.substring(from, text.indexOf('\n', from)).strip();
    }
  }

  /** {@code schedule.executedNs} of that sleeping thread as {@link System#nanoTime}; empty when it cannot be told. */
  OptionalLong nanoTime(String task, Schedule schedule) {
    var stat = Fd.readIfThere("/proc/" + task + "/stat");
    if (stat.isEmpty()) {
      return OptionalLong.empty();
    }
    String text = new String(stat.get(), StandardCharsets.US_ASCII);
    int processor = Integer.parseInt(text.substring(text.lastIndexOf(')') + 2).split(" ")[PROCESSOR]);
    if (!offsets.containsKey(processor)) {
      visit(processor).ifPresent(offset -> offsets.put(processor, offset));
    }
    Long offset = offsets.get(processor);
    return offset == null ? OptionalLong.empty() : OptionalLong.of(schedule.executedNs() + offset);
  }

  private static Optional<Long> visit(int processor) {
    byte[] before = Affinity.get();
    if (Affinity.setOne(processor) != 0) {
      return Optional.empty();
    }
    try {
      // Brings the thread's own value up to date, which else may be as old as the last timer tick.
      Affinity.yield();
      long now = System.nanoTime();
      return Schedule.of("thread-self").map(own -> now - own.executedNs());
    } finally {
      Affinity.set(before);
    }
  }
}
