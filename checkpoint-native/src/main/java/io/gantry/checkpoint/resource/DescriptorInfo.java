package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.linux.Fd;
import java.util.ArrayList;
import java.util.List;

/** The text of {@code /proc/PID/fdinfo/N} ({@code man 5 proc_pid_fdinfo}): lines of a key, a colon, and a value. */
final class DescriptorInfo {
  private final String text;
  private final long position;
  private final int flags;

  DescriptorInfo(String text) {
    this.text = text;
    this.position = Long.parseLong(first("pos"));
    this.flags = Integer.parseInt(first("flags"), 8);
  }

  /** File offset, bytes. */
  long position() {
    return position;
  }

  /** Status and access flags, without {@code O_CLOEXEC}, which belongs to the descriptor. */
  int statusFlags() {
    return flags & ~Fd.O_CLOEXEC;
  }

  boolean closeOnExec() {
    return (flags & Fd.O_CLOEXEC) != 0;
  }

  boolean has(String key) {
    return !values(key).isEmpty();
  }

  String required(String key) {
    var values = values(key);
    if (values.isEmpty()) {
      throw new IllegalStateException("/proc/PID/fdinfo has no \"" + key + "\" in: " + text);
    }
    return values.getFirst();
  }

  /** As {@link #required}, without a look at the lines behind it: done for each of thousands of descriptors. */
  private String first(String key) {
    for (int from = 0; from < text.length(); ) {
      int end = text.indexOf('\n', from);
      end = end < 0 ? text.length() : end;
      if (text.startsWith(key, from) && from + key.length() < end && text.charAt(from + key.length()) == ':') {
        return text.substring(from + key.length() + 1, end).strip();
      }
      from = end + 1;
    }
    return required(key);
  }

  /** The values of all lines with this key, in order. */
  List<String> values(String key) {
    var found = new ArrayList<String>(1);
    for (int from = 0; from < text.length(); ) {
      int end = text.indexOf('\n', from);
      end = end < 0 ? text.length() : end;
      if (text.startsWith(key, from) && from + key.length() < end && text.charAt(from + key.length()) == ':') {
        found.add(text.substring(from + key.length() + 1, end).strip());
      }
      from = end + 1;
    }
    return found;
  }
}
