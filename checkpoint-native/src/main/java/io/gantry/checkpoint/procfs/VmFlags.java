package io.gantry.checkpoint.procfs;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.TreeMap;

/**
 * The two-letter {@code VmFlags} of {@code /proc/PID/smaps} (man 5 proc_pid_smaps) as bits. Reading them makes the kernel walk the
 * page tables (about 10 ms for each GiB of present pages), so they are not for the freeze.
 */
public final class VmFlags {
  private static final String[] NAMES = {
    "mr", "mw", "sh", "gd", "lo", "lf", "io", "pf", "sr", "rr", "dc", "de", "ac", "nr", "ht", "wf", "dd", "mm", "hg", "nh", "mg",
    "um", "uw", "ui", "sl", "ss", "dp", "wr"
  };

  /** May be made writable; on a shared mapping: the file was open for writing. */
  public static final long MAY_WRITE = bit("mw");

  public static final long GROWS_DOWN = bit("gd");
  public static final long LOCKED = bit("lo");
  public static final long LOCK_ON_FAULT = bit("lf");
  public static final long IO = bit("io");
  public static final long PFN_MAP = bit("pf");
  public static final long SEQUENTIAL = bit("sr");
  public static final long RANDOM = bit("rr");
  public static final long DONT_FORK = bit("dc");

  /** Counts towards the commit limit. */
  public static final long ACCOUNTED = bit("ac");

  public static final long NO_RESERVE = bit("nr");
  public static final long HUGE_TLB = bit("ht");
  public static final long WIPE_ON_FORK = bit("wf");
  public static final long DONT_DUMP = bit("dd");
  public static final long MIXED_MAP = bit("mm");
  public static final long HUGE_PAGE = bit("hg");
  public static final long NO_HUGE_PAGE = bit("nh");
  public static final long MERGEABLE = bit("mg");
  public static final long USERFAULT_MISSING = bit("um");
  public static final long USERFAULT_WRITE_PROTECT = bit("uw");
  public static final long USERFAULT_MINOR = bit("ui");
  public static final long SEALED = bit("sl");
  public static final long SHADOW_STACK = bit("ss");
  public static final long DROPPABLE = bit("dp");

  /** By start address: end and bits. */
  private final TreeMap<Long, long[]> ranges = new TreeMap<>();

  private final List<Maps.Mapping> mappings = new ArrayList<>();

  private VmFlags() {}

  private static long bit(String name) {
    for (int i = 0; i < NAMES.length; i++) {
      if (NAMES[i].equals(name)) {
        return 1L << i;
      }
    }
    throw new IllegalArgumentException(name);
  }

  /** Reads those of all mappings. */
  public static VmFlags read(int pid) {
    return parse(ProcBytes.read(pid, "smaps"));
  }

  static VmFlags parse(byte[] bytes) {
    return Understanding.of("/proc/PID/smaps", () -> new String(bytes, StandardCharsets.UTF_8), () -> understand(new ProcBytes(bytes)));
  }

  private static VmFlags understand(ProcBytes text) {
    var all = new VmFlags();
    var bits = new HashMap<Maps.Mapping, Long>();
    while (text.hasMore()) {
      byte first = text.peek();
      if (first >= '0' && first <= '9' || first >= 'a' && first <= 'f') {
        var mapping = Maps.line(text, all.mappings.isEmpty() ? "" : all.mappings.getLast().name());
        Maps.add(all.mappings, mapping);
      } else if (text.startsWith("VmFlags:")) {
        text.at += "VmFlags:".length();
        bits.put(all.mappings.getLast(), bits(text));
      } else {
        text.line();
      }
    }
    for (var mapping : all.mappings) {
      all.ranges.put(mapping.start(), new long[] {mapping.end(), bits.getOrDefault(mapping, 0L)});
    }
    return all;
  }

  private static long bits(ProcBytes text) {
    long bits = 0;
    int end = text.line();
    int from = end - 1;
    while (text.bytes[from] != ':') {
      from--;
    }
    for (int i = from + 1; i + 1 < end; i++) {
      if (text.bytes[i] == ' ' || text.bytes[i + 1] == ' ') {
        continue;
      }
      for (int n = 0; n < NAMES.length; n++) {
        if (NAMES[n].charAt(0) == text.bytes[i] && NAMES[n].charAt(1) == text.bytes[i + 1]) {
          bits |= 1L << n;
        }
      }
      i++;
    }
    return bits;
  }

  /** All mappings by address, as they were when their flags were read; {@link Maps#read} may know others by now. */
  public List<Maps.Mapping> mappings() {
    return mappings;
  }

  /** Bits of a mapping that has, or lies inside, a range that was read; -1 when there is none. */
  public long of(long start, long end) {
    var entry = ranges.floorEntry(start);
    return entry == null || entry.getValue()[0] < end ? -1 : entry.getValue()[1];
  }
}
