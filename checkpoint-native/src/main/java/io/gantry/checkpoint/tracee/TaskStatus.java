package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.Fd;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

/**
 * What stopping and injecting need from {@code /proc/PID/status} ({@code man 5 proc_pid_status}).
 *
 * @param state the letter, such as {@code 'S'}, {@code 'T'} or {@code 'Z'}
 * @param nsPid id in the innermost pid namespace
 * @param nsProcess the process's id there
 * @param tracerPid 0 when nobody traces it
 * @param pending signals pending for the thread or the process
 * @param ignored signals set to be ignored
 * @param caught signals with a handler
 */
record TaskStatus(
    char state, int pid, int parentPid, int nsPid, int nsProcess, int tracerPid, int seccomp, long pending, long blocked, long ignored, long caught) {

  /** Of a process, or of a thread with {@code path} like {@code "4711/task/4712"}; empty when it is gone. */
  static Optional<TaskStatus> read(String path) {
    return Fd.readIfThere("/proc/" + path + "/status").map(bytes -> parse(new String(bytes, StandardCharsets.US_ASCII)));
  }

  static TaskStatus parse(String text) {
    return new TaskStatus(
        field(text, "State:").charAt(0),
        number(text, "Tgid:"),
        number(text, "PPid:"),
        innermost(text, "NSpid:"),
        innermost(text, "NStgid:"),
        number(text, "TracerPid:"),
        number(text, "Seccomp:"),
        set(text, "SigPnd:") | set(text, "ShdPnd:"),
        set(text, "SigBlk:"),
        set(text, "SigIgn:"),
        set(text, "SigCgt:"));
  }

  private static String field(String text, String name) {
    // The first line is the program's name, in which a newline is shown as \n: a field can only be found at a line's start.
    int at = text.indexOf("\n" + name);
    if (at < 0) {
      throw new IllegalStateException("this kernel's /proc/PID/status has no " + name);
    }
    int from = at + 1 + name.length();
    return text.substring(from, text.indexOf('\n', from)).strip();
  }

  private static int innermost(String text, String name) {
    String ids = field(text, name);
    return Integer.parseInt(ids.substring(ids.lastIndexOf('\t') + 1));
  }

  private static int number(String text, String name) {
    return Integer.parseInt(field(text, name));
  }

  private static long set(String text, String name) {
    return Long.parseUnsignedLong(field(text, name), 16);
  }
}
