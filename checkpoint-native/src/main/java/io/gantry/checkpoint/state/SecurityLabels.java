package io.gantry.checkpoint.state;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.procfs.ProcText;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Labels that security modules such as SELinux and AppArmor give to threads ({@code /proc/PID/attr}, {@code man 5 proc_pid_attr}). A copy runs under the
 * label that the agent has, from which its stubs come, so whoever has another one is refused. Where no module labels anything, nothing but this
 * agent's own label is ever read. Any thread.
 */
public final class SecurityLabels {
  /** The module that is asked first, and those that have a directory of their own beside others. */
  private static final List<String> CURRENT = List.of("current", "apparmor/current", "smack/current");

  /** Labels that a thread has asked for, for what it makes next. */
  private static final List<String> ASKED_FOR = List.of("exec", "fscreate", "keycreate", "sockcreate", "apparmor/exec");

  private final Path proc;
  private final String own;

  private SecurityLabels(Path proc) {
    this.proc = proc;
    own = labels(proc.resolve("self"), CURRENT);
  }

  /** Those of this host. */
  public static SecurityLabels ofThisHost() {
    return new SecurityLabels(Path.of("/proc"));
  }

  /** @param proc a directory that looks like {@code /proc} */
  static SecurityLabels in(Path proc) {
    return new SecurityLabels(proc);
  }

  /** The label of this agent, such as {@code "current=unconfined"}; empty when no module labels threads. */
  public String own() {
    return own;
  }

  /** What of a process cannot be carried; a thread that ends meanwhile is left out. */
  List<Finding> obstacles(int pid) throws NoSuchFileException {
    var findings = new ArrayList<Finding>(0);
    if (own.isEmpty()) {
      return findings;
    }
    var threads = proc.resolve(Integer.toString(pid)).resolve("task");
    for (int tid : ProcText.numbers(threads.toString())) {
      var thread = threads.resolve(Integer.toString(tid));
      String label = labels(thread, CURRENT);
      if (!label.equals(own) && !label.isEmpty()) {
        findings.add(
            new Finding(
                pid, -1, "security label", "thread %d runs under the label %s (/proc/PID/attr), but this agent, and so a copy, under %s; run both under one"
                    .formatted(tid, label, own)));
      }
      String asked = labels(thread, ASKED_FOR);
      if (!asked.isEmpty()) {
        findings.add(
            new Finding(pid, -1, "security label", "thread %d has asked for the label %s for what it makes next, which cannot be carried".formatted(tid, asked)));
      }
    }
    return findings;
  }

  private static String labels(Path task, List<String> names) {
    var labels = new ArrayList<String>(0);
    for (String name : names) {
      try {
        // SELinux ends it with a zero byte, AppArmor with a line break.
        String label = new String(Files.readAllBytes(task.resolve("attr").resolve(name)), StandardCharsets.UTF_8).replace("\0", "").strip();
        if (!label.isEmpty()) {
          labels.add(name + "=" + label);
        }
      } catch (IOException noModule) {
        // EINVAL or no such file: nobody has anything to say here, or the thread has ended.
        continue;
      }
    }
    return String.join(", ", labels);
  }
}
