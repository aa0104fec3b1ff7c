package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.Fd;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** The few things about a mapping that injection needs, from {@code /proc/PID/maps}. */
record Mapping(long start, long end, String protection, String name) {
  static final String VDSO = "[vdso]";
  static final String STACK = "[stack]";

  static List<Mapping> of(int pid) {
    var found = new ArrayList<Mapping>();
    String text = new String(Fd.readAll("/proc/" + pid + "/maps"), StandardCharsets.UTF_8);
    for (int at = 0; at < text.length(); ) {
      int end = text.indexOf('\n', at);
      int dash = text.indexOf('-', at);
      int space = text.indexOf(' ', dash);
      // A name begins in column 73 or, when addresses are long, after one space; only names in brackets matter here. Looked for only behind a closing
      // one: a search that finds none in its line goes on through all lines before.
      int bracket = text.charAt(end - 1) == ']' ? text.lastIndexOf('[', end) : -1;
      found.add(
          new Mapping(
              Long.parseUnsignedLong(text, at, dash, 16),
              Long.parseUnsignedLong(text, dash + 1, space, 16),
              text.substring(space + 1, space + 5),
              bracket > space && text.charAt(bracket - 1) == ' ' ? text.substring(bracket, end) : ""));
      at = end + 1;
    }
    return found;
  }

  boolean contains(long address) {
    return Long.compareUnsigned(start, address) <= 0 && Long.compareUnsigned(address, end) < 0;
  }
}
