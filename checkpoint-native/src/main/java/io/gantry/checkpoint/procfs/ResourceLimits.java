package io.gantry.checkpoint.procfs;

import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * {@code /proc/PID/limits}, which unlike {@code prlimit(2)} needs no {@code CAP_SYS_RESOURCE} for processes of other users. Numbers of the
 * limits: {@code asm-generic/resource.h}.
 */
public final class ResourceLimits {
  /** By the kernel's names ({@code fs/proc/base.c}), in the order of their numbers. */
  private static final List<String> NAMES =
      List.of(
          "Max cpu time",
          "Max file size",
          "Max data size",
          "Max stack size",
          "Max core file size",
          "Max resident set",
          "Max processes",
          "Max open files",
          "Max locked memory",
          "Max address space",
          "Max file locks",
          "Max pending signals",
          "Max msgqueue size",
          "Max nice priority",
          "Max realtime priority",
          "Max realtime timeout");

  private static final int NAME_WIDTH = 26;

  private ResourceLimits() {}

  /** Both are unsigned; all bits set is "no limit". */
  public record Limit(long soft, long hard) {}

  /** All limits, at the index that is their number. */
  public static List<Limit> of(int pid) throws NoSuchFileException {
    return parse(ProcText.read("/proc/" + pid + "/limits"));
  }

  static List<Limit> parse(String text) {
    return Understanding.of("/proc/PID/limits", () -> text, () -> understand(text));
  }

  private static List<Limit> understand(String text) {
    Map<String, Limit> limits = new java.util.HashMap<>();
    for (String line : text.split("\n")) {
      if (line.startsWith("Max ")) {
        String[] values = line.substring(NAME_WIDTH).strip().split("\\s+");
        limits.put(line.substring(0, NAME_WIDTH).strip(), new Limit(value(values[0]), value(values[1])));
      }
    }
    var ordered = new ArrayList<Limit>();
    for (String name : NAMES) {
      var limit = limits.get(name);
      if (limit == null) {
        throw new IllegalStateException("this kernel's /proc/PID/limits has no \"" + name + "\"");
      }
      ordered.add(limit);
    }
    return ordered;
  }

  private static long value(String text) {
    return text.equals("unlimited") ? -1 : Long.parseUnsignedLong(text);
  }
}
