package io.gantry.checkpoint.procfs;

import java.nio.file.NoSuchFileException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** {@code /proc/PID/status} or {@code /proc/PID/task/TID/status}, see {@code man 5 proc_pid_status}. Immutable. */
public final class TaskStatus {
  private final Map<String, String> fields;

  private TaskStatus(Map<String, String> fields) {
    this.fields = fields;
  }

  public static TaskStatus ofProcess(int pid) throws NoSuchFileException {
    return parse(ProcText.read("/proc/" + pid + "/status"));
  }

  public static TaskStatus ofThread(int pid, int tid) throws NoSuchFileException {
    return parse(ProcText.read("/proc/" + pid + "/task/" + tid + "/status"));
  }

  static TaskStatus parse(String text) {
    var fields = new HashMap<String, String>(96);
    int from = 0;
    while (from < text.length()) {
      int end = text.indexOf('\n', from);
      end = end < 0 ? text.length() : end;
      int colon = text.indexOf(':', from);
      if (colon > 0 && colon < end) {
        fields.put(text.substring(from, colon), text.substring(colon + 1, end).strip());
      }
      from = end + 1;
    }
    return new TaskStatus(fields);
  }

  /** A field as it stands there, empty when this kernel does not have it. */
  public String text(String field) {
    return fields.getOrDefault(field, "");
  }

  /** The first number of a field; 0 when this kernel does not have it. */
  public long number(String field) {
    var words = words(field);
    return words.isEmpty() ? 0 : Long.parseLong(words.getFirst());
  }

  /** All numbers of a field, ids as unsigned 32-bit values. */
  public List<Integer> ids(String field) {
    return words(field).stream().map(Integer::parseUnsignedInt).toList();
  }

  /** A set written in hexadecimal, such as signals or capabilities. */
  public long set(String field) {
    return Long.parseUnsignedLong(text(field), 16);
  }

  private List<String> words(String field) {
    return Arrays.stream(text(field).split("\\s+")).filter(word -> !word.isEmpty()).toList();
  }

  /** The letter: R, S, D, T, t, Z, X, I. */
  public char state() {
    return text("State").charAt(0);
  }

  /** Id in the innermost pid namespace, for {@code NSpid}, {@code NStgid}, {@code NSpgid}, {@code NSsid}. */
  public int innermost(String field) {
    return ids(field).getLast();
  }

  public int uid() {
    return ids("Uid").getFirst();
  }

  public int parent() {
    return (int) number("PPid");
  }

  public long voluntarySwitches() {
    return number("voluntary_ctxt_switches");
  }
}
