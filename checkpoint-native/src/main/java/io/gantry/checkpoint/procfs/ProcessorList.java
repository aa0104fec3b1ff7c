package io.gantry.checkpoint.procfs;

import io.gantry.checkpoint.CheckpointException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.List;

/**
 * Lists of processors as {@code /sys} writes them, such as {@code 0-3,8} ({@code Documentation/admin-guide/cputopology.rst}). Any
 * thread.
 */
public final class ProcessorList {
  private static final String POSSIBLE = "/sys/devices/system/cpu/possible";

  private ProcessorList() {}

  /** Processors for which the kernel keeps room, there or not. */
  public static List<Integer> possible() {
    try {
      return parse(ProcText.read(POSSIBLE).strip());
    } catch (NoSuchFileException e) {
      throw new CheckpointException(POSSIBLE + " is missing; is /sys mounted?", e);
    }
  }

  static List<Integer> parse(String list) {
    var numbers = new ArrayList<Integer>();
    for (String range : list.split(",")) {
      String[] ends = range.split("-");
      int last = Integer.parseInt(ends[ends.length - 1]);
      for (int number = Integer.parseInt(ends[0]); number <= last; number++) {
        numbers.add(number);
      }
    }
    return numbers;
  }
}
