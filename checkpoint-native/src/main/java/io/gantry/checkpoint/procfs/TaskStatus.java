package io.gantry.checkpoint.procfs;

import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Supplier;

/** {@code /proc/PID/status} or {@code /proc/PID/task/TID/status}, see {@code man 5 proc_pid_status}. Immutable. */
public final class TaskStatus {
  private static final int LINES_USUAL = 64;

  private final byte[] bytes;
  /** Where each line begins; looked through for each field that is asked for, of which there are few. */
  private final int[] lines;
  private final int lineCount;

  private TaskStatus(byte[] bytes) {
    this.bytes = bytes;
    var starts = new int[LINES_USUAL];
    int count = 0;
    for (int at = 0; at < bytes.length; at++) {
      if (count == starts.length) {
        starts = Arrays.copyOf(starts, 2 * count);
      }
      starts[count++] = at;
      while (at < bytes.length && bytes[at] != '\n') {
        at++;
      }
    }
    lines = starts;
    lineCount = count;
  }

  public static TaskStatus ofProcess(int pid) throws NoSuchFileException {
    return new TaskStatus(ProcText.readPiece("/proc/" + pid + "/status"));
  }

  public static TaskStatus ofThread(int pid, int tid) throws NoSuchFileException {
    return new TaskStatus(ProcText.readPiece("/proc/" + pid + "/task/" + tid + "/status"));
  }

  static TaskStatus parse(String text) {
    return new TaskStatus(text.getBytes(StandardCharsets.UTF_8));
  }

  /** Where what stands behind a field's colon begins; −1 when this kernel does not have it. */
  private int find(String field) {
    int length = field.length();
    for (int line = 0; line < lineCount; line++) {
      int at = lines[line];
      if (at + length < bytes.length && bytes[at + length] == ':' && bytes[at] == field.charAt(0) && begins(at, field)) {
        return at + length + 1;
      }
    }
    return -1;
  }

  private boolean begins(int at, String field) {
    for (int i = 1; i < field.length(); i++) {
      if (bytes[at + i] != field.charAt(i)) {
        return false;
      }
    }
    return true;
  }

  private int end(int from) {
    int end = from;
    while (end < bytes.length && bytes[end] != '\n') {
      end++;
    }
    return end;
  }

  /** A field as it stands there, empty when this kernel does not have it. */
  public String text(String field) {
    int from = find(field);
    return from < 0 ? "" : new String(bytes, from, end(from) - from, StandardCharsets.UTF_8).strip();
  }

  /** Whether all of these fields are the same in another one. */
  public boolean sameFields(TaskStatus other, List<String> fields) {
    for (String field : fields) {
      int ours = find(field);
      int theirs = other.find(field);
      if (ours < 0 || theirs < 0) {
        if (ours != theirs) {
          return false;
        }
      } else if (!Arrays.equals(bytes, ours, end(ours), other.bytes, theirs, other.end(theirs))) {
        return false;
      }
    }
    return true;
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
