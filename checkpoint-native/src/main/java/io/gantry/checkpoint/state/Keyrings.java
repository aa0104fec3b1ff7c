package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Keyring;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Looks for keys in the keyrings of a stopped thread: those of the thread, the process and the session. Which those are only the thread itself can find
 * out: nothing in {@code /proc/PID} tells, and {@code /proc/keys} shows every process the keys that it may see itself. They are found by their names, which
 * are fixed except for sessions that somebody has named: such names are those that this agent sees.
 *
 * <p>Nothing of them is carried, so an empty keyring, as container runtimes make one, is as good as none; one that the thread has from the agent's
 * session is not the container's.
 */
final class Keyrings {
  /** {@code security/keys/process_keys.c}: {@code install_thread_keyring_to_cred} and its neighbours. */
  private static final Map<String, String> FIXED = Map.of("_tid", "thread", "_pid", "process", "_ses", "session");

  /** The keyrings of a user id, which are the host's: {@code _uid.0}, {@code _uid_ses.0}. */
  private static final String USER = "_uid";

  /** Most names of sessions that are tried. */
  private static final int NAMES_MAX = 64;

  private static final int KEYS_MAX = 64;
  private static final int DESCRIPTION_BYTES = 256;
  private static final int TYPE_COLUMN = 7;

  private Keyrings() {}

  /** @throws CheckpointException when there are keys */
  static void requireCarriable(RemoteTask task) {
    var found = new LinkedHashMap<String, Long>();
    var names = new ArrayList<>(FIXED.keySet());
    names.addAll(sessions());
    for (int from = 0; from < names.size(); ) {
      var batch = task.newBatch();
      long type = batch.string(Keyring.TYPE);
      var calls = new LinkedHashMap<String, CallBatch.Call>();
      while (from < names.size() && batch.fits(1, names.get(from).length() * 3 + 1)) {
        String name = names.get(from++);
        calls.put(name, batch.attempt("request_key(" + name + ")", SyscallNumber.REQUEST_KEY, type, batch.string(name), 0, 0));
      }
      task.run(batch);
      calls.forEach(
          (name, call) -> {
            if (call.result() > 0 && call.result() != Keyring.find(name)) {
              found.put(name, call.result());
            }
          });
    }
    found.forEach((name, id) -> requireEmpty(task, name, id));
  }

  /** Names of keyrings that may be a session's. */
  private static List<String> sessions() {
    try {
      return names(ProcText.read("/proc/keys"));
    } catch (NoSuchFileException withoutKeys) {
      return List.of();
    }
  }

  /** @param keys {@code /proc/keys}: "ID FLAGS USAGE TIMEOUT PERMISSIONS UID GID TYPE DESCRIPTION: SUMMARY" */
  static List<String> names(String keys) {
    return keys.lines()
        .map(line -> line.strip().split(" +", TYPE_COLUMN + 2))
        .filter(columns -> columns.length == TYPE_COLUMN + 2 && columns[TYPE_COLUMN].equals(Keyring.TYPE))
        .map(columns -> columns[TYPE_COLUMN + 1])
        .filter(text -> text.contains(": "))
        .map(text -> text.substring(0, text.lastIndexOf(": ")))
        // Names that begin with a point are the kernel's own.
        .filter(name -> !name.isEmpty() && !name.startsWith(".") && !name.startsWith(USER) && !name.equals("[anon]") && !FIXED.containsKey(name))
        .distinct()
        .limit(NAMES_MAX)
        .toList();
  }

  private static void requireEmpty(RemoteTask task, String name, long id) {
    var batch = task.newBatch();
    long idsAt = batch.reserve(KEYS_MAX * 4);
    var read = batch.attempt("keyctl(KEYCTL_READ)", SyscallNumber.KEYCTL, Keyring.KEYCTL_READ, id, idsAt, KEYS_MAX * 4);
    task.run(batch);
    if (read.result() < 0) {
      throw refusal(task, name, "whose keys it may not read itself");
    }
    var ids = ThreadStateCapture.littleEndian(batch.read(idsAt, KEYS_MAX * 4));
    for (int at = 0; at < Math.min(read.result(), KEYS_MAX * 4L); at += 4) {
      var key = task.newBatch();
      long textAt = key.reserve(DESCRIPTION_BYTES);
      var described = key.attempt("keyctl(KEYCTL_DESCRIBE)", SyscallNumber.KEYCTL, Keyring.KEYCTL_DESCRIBE, ids.getInt(at), textAt, DESCRIPTION_BYTES);
      task.run(key);
      int length = Math.clamp(described.result() - 1, 0, DESCRIPTION_BYTES);
      String description = new String(key.read(textAt, length), StandardCharsets.UTF_8);
      // The keys of its user, which a login links into every session.
      if (!description.startsWith(Keyring.TYPE + ";") || !description.substring(description.lastIndexOf(';') + 1).startsWith(USER)) {
        throw refusal(task, name, "with a key of type " + description.substring(0, Math.max(0, description.indexOf(';'))) + " in it");
      }
    }
  }

  private static CheckpointException refusal(RemoteTask task, String name, String what) {
    return new CheckpointException(
        "process %d has a %s keyring (%s, man 7 keyrings) %s; keys cannot be carried, so remove it or keep such keys in files"
            .formatted(task.pid(), FIXED.getOrDefault(name, "session"), name, what));
  }
}
