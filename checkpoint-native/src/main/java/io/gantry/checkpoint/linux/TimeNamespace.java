package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/** {@code man 7 time_namespaces}: clocks that differ by a constant from the kernel's own. */
public final class TimeNamespace {
  /** {@code CLONE_NEWTIME} of {@code linux/sched.h}; for {@code unshare}, and then for the children. */
  public static final long CLONE_NEWTIME = 0x80;

  /** {@code linux/time.h}. */
  private static final int CLOCK_MONOTONIC = 1;
  private static final int CLOCK_BOOTTIME = 7;

  private static final long SECOND_NS = TimeUnit.SECONDS.toNanos(1);

  private TimeNamespace() {}

  /**
   * How far the clocks of a namespace are ahead of the kernel's own, in nanoseconds; may be negative.
   *
   * @param monotonicNs of {@code CLOCK_MONOTONIC} and its relatives
   * @param boottimeNs of {@code CLOCK_BOOTTIME} and its relatives
   */
  public record Offsets(long monotonicNs, long boottimeNs) {
    /** Those of the first time namespace of a kernel. */
    public static final Offsets NONE = new Offsets(0, 0);

    /** These later by so much. */
    public Offsets plus(long ns) {
      return new Offsets(monotonicNs + ns, boottimeNs + ns);
    }

    /** Whether one of these clocks is behind one of the others. */
    public boolean isBehind(Offsets other) {
      return monotonicNs < other.monotonicNs || boottimeNs < other.boottimeNs;
    }
  }

  /** Whether this kernel has them (5.6 or later, {@code CONFIG_TIME_NS}). */
  public static boolean exists() {
    return Files.exists(Path.of("/proc/self/timens_offsets"));
  }

  /** Offsets that children of a process have; none where the kernel has no time namespaces. */
  public static Offsets ofChildren(String pid) {
    return Fd.readIfThere("/proc/" + pid + "/timens_offsets").map(TimeNamespace::parse).orElse(Offsets.NONE);
  }

  static Offsets parse(byte[] text) {
    long monotonic = 0;
    long boottime = 0;
    for (String line : new String(text, StandardCharsets.US_ASCII).split("\n")) {
      String[] words = line.strip().split("\\s+");
      if (words.length == 3) {
        long ns = Math.addExact(Math.multiplyExact(Long.parseLong(words[1]), SECOND_NS), Long.parseLong(words[2]));
        if (words[0].equals("monotonic")) {
          monotonic = ns;
        } else if (words[0].equals("boottime")) {
          boottime = ns;
        }
      }
    }
    return new Offsets(monotonic, boottime);
  }

  /** Sets the offsets of the namespace that children of a process will enter; before the first does. */
  public static void setOfChildren(int pid, Offsets offsets) {
    int file = Fd.open("/proc/" + pid + "/timens_offsets", Fd.O_WRONLY | Fd.O_CLOEXEC, 0);
    try {
      Fd.write(file, (line("monotonic", offsets.monotonicNs) + line("boottime", offsets.boottimeNs)).getBytes(StandardCharsets.US_ASCII));
    } finally {
      Fd.close(file);
    }
  }

  /** Nanoseconds are 0 to 999,999,999 also where seconds are negative. */
  private static String line(String clock, long ns) {
    return clock + " " + Math.floorDiv(ns, SECOND_NS) + " " + Math.floorMod(ns, SECOND_NS) + "\n";
  }

  /** {@code CLOCK_MONOTONIC} of this process. */
  public static long monotonicNs() {
    return now(CLOCK_MONOTONIC);
  }

  /** {@code CLOCK_BOOTTIME} of this process. */
  public static long boottimeNs() {
    return now(CLOCK_BOOTTIME);
  }

  private static long now(int clock) {
    var scratch = Scratch.get();
    Libc.check(Libc.syscall(SyscallNumber.CLOCK_GETTIME, clock, scratch.address(), 0), () -> "clock_gettime(" + clock + ")");
    return scratch.get(ValueLayout.JAVA_LONG, 0) * SECOND_NS + scratch.get(ValueLayout.JAVA_LONG, 8);
  }
}
