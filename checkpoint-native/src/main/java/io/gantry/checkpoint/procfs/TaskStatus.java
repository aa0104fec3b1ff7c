package io.gantry.checkpoint.procfs;

import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/** {@code /proc/PID/status} or {@code /proc/PID/task/TID/status}, see {@code man 5 proc_pid_status}. Immutable. */
public final class TaskStatus {
  // Looked through anew for each field: few of the sixty are ever asked for.
  private final String text;

  private TaskStatus(String text) {
    this.text = text;
  }

  public static TaskStatus ofProcess(int pid) throws NoSuchFileException {
    return parse(ProcText.read("/proc/" + pid + "/status"));
  }

  public static TaskStatus ofThread(int pid, int tid) throws NoSuchFileException {
    return parse(ProcText.read("/proc/" + pid + "/task/" + tid + "/status"));
  }

  static TaskStatus parse(String text) {
    return new TaskStatus("\n" + text);
  }

  /** A field as it stands there, empty when this kernel does not have it. */
  public String text(String field) {
    int at = text.indexOf("\n" + field + ":");
    if (at < 0) {
      return "";
    }
    int from = at + field.length() + 2;
    int end = text.indexOf('\n', from);
    return text.substring(from, end < 0 ? text.length() : end).strip();
  }

  private <T> T understood(String field, Supplier<T> parser) {
    return Understanding.of("a field of /proc/PID/status", () -> field + ":" + text(field), parser);
  }

  /** The first number of a field; 0 when this kernel does not have it. */
  public long number(String field) {
    var words = words(field);
    return words.isEmpty() ? 0 : understood(field, () -> Long.parseLong(words.getFirst()));
  }

  /** All numbers of a field, ids as unsigned 32-bit values. */
  public List<Integer> ids(String field) {
    var ids = new ArrayList<Integer>(4);
    for (String word : words(field)) {
      ids.add(understood(field, () -> Integer.parseUnsignedInt(word)));
    }
    return ids;
  }

  /** A set written in hexadecimal, such as signals or capabilities. */
  public long set(String field) {
    return understood(field, () -> Long.parseUnsignedLong(text(field), 16));
  }

  /** Split by hand: this is read for each of hundreds of threads within a pause. */
  private List<String> words(String field) {
    String line = text(field);
    var words = new ArrayList<String>(4);
    int from = 0;
    for (int at = 0; at <= line.length(); at++) {
      if (at == line.length() || line.charAt(at) <= ' ') {
        if (at > from) {
          words.add(line.substring(from, at));
        }
        from = at + 1;
      }
    }
    return words;
  }

  /** The letter: R, S, D, T, t, Z, X, I. */
  public char state() {
    return understood("State", () -> text("State").charAt(0));
  }

  /** Id in the innermost pid namespace, for {@code NSpid}, {@code NStgid}, {@code NSpgid}, {@code NSsid}. */
  public int innermost(String field) {
    return understood(field, ids(field)::getLast);
  }

  public int uid() {
    return understood("Uid", ids("Uid")::getFirst);
  }

  public int parent() {
    return (int) number("PPid");
  }

  public long voluntarySwitches() {
    return number("voluntary_ctxt_switches");
  }
}
