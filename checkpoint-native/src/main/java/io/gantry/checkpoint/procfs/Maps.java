package io.gantry.checkpoint.procfs;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** Reader of {@code /proc/PID/maps} (man 5 proc_pid_maps). */
public final class Maps {
  /** {@code PROT_*} bits of {@link Mapping#prot}. */
  public static final int READ = 1;

  public static final int WRITE = 2;
  public static final int EXECUTE = 4;

  private Maps() {}

  /**
   * One line.
   *
   * @param end first byte behind it
   * @param prot {@link #READ}, {@link #WRITE}, {@link #EXECUTE}
   * @param offset into the file, in bytes
   * @param device {@code major << 32 | minor}
   * @param name path or bracketed name, newlines as {@code \012}; empty for plain anonymous memory
   */
  public record Mapping(
      long start, long end, int prot, boolean shared, long offset, long device, long inode, String name) {
    /** The name of the link in {@code /proc/PID/map_files}. */
    public String link() {
      return Long.toHexString(start) + "-" + Long.toHexString(end);
    }
  }

  /** All mappings by address. */
  public static List<Mapping> read(int pid) {
    return parse(ProcBytes.read(pid, "maps"));
  }

  static List<Mapping> parse(byte[] bytes) {
    return Understanding.of("/proc/PID/maps", () -> new String(bytes, StandardCharsets.UTF_8), () -> understand(new ProcBytes(bytes)));
  }

  private static List<Mapping> understand(ProcBytes text) {
    var mappings = new ArrayList<Mapping>(text.bytes.length / 60 + 1);
    while (text.hasMore()) {
      add(mappings, line(text, mappings.isEmpty() ? "" : mappings.getLast().name()));
    }
    return mappings;
  }

  /**
   * Adds the next mapping of a list that the kernel gives out piece by piece: one that grew between two pieces comes again, as it is now, and what was
   * said before of that range does not hold any more.
   */
  static void add(List<Mapping> mappings, Mapping next) {
    while (!mappings.isEmpty() && Long.compareUnsigned(mappings.getLast().end(), next.start()) > 0) {
      mappings.removeLast();
    }
    mappings.add(next);
  }

  /**
   * Reads one line, which {@code smaps} has as well.
   *
   * @param lastName name in the line before: the segments of one file follow each other, and one string is kept for them
   */
  static Mapping line(ProcBytes text, String lastName) {
    long start = text.hex();
    long end = text.hex();
    int prot = (text.bytes[text.at] == 'r' ? READ : 0)
        | (text.bytes[text.at + 1] == 'w' ? WRITE : 0)
        | (text.bytes[text.at + 2] == 'x' ? EXECUTE : 0);
    boolean shared = text.bytes[text.at + 3] == 's';
    text.at += 5;
    long offset = text.hex();
    long device = text.hex() << 32 | text.hex();
    long inode = text.decimal();
    // Without a name the line ends right behind the inode, or behind one space.
    if (text.bytes[text.at - 1] == '\n') {
      return new Mapping(start, end, prot, shared, offset, device, inode, "");
    }
    text.spaces();
    int from = text.at;
    int to = text.line();
    String name = sameAs(lastName, text.bytes, from, to) ? lastName : new String(text.bytes, from, to - from, StandardCharsets.UTF_8);
    return new Mapping(start, end, prot, shared, offset, device, inode, name);
  }

  private static boolean sameAs(String name, byte[] bytes, int from, int to) {
    if (name.length() != to - from) {
      return false;
    }
    for (int i = 0; i < name.length(); i++) {
      if (name.charAt(i) != bytes[from + i]) {
        return false;
      }
    }
    return true;
  }
}
