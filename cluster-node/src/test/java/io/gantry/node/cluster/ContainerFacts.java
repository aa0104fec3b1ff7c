package io.gantry.node.cluster;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What {@code /proc} shows of a container from outside, in a form that must be the same before and after a move: every id is the one inside the
 * container, every inode number is replaced by the first descriptor that refers to it. Keys are {@code PID/what}.
 *
 * @param initPid its first process, as the host counts
 * @param facts what was seen
 */
record ContainerFacts(long initPid, SortedMap<String, String> facts) {
  private static final int LOOKS_MAX = 100;

  /** Lines of {@code /proc/PID/status} (man 5 proc_pid_status) that a move must not change. */
  private static final List<String> STATUS_LINES =
      List.of(
          "Name", "Umask", "Uid", "Gid", "Groups", "FDSize", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
          "NoNewPrivs", "Seccomp", "Cpus_allowed", "THP_enabled");

  /** Facts that are the same at any two moments only for programs whose processes, threads and descriptors stay as they are. */
  static ContainerFacts of(long initPid) {
    return of(initPid, key -> true);
  }

  /**
   * Looks.
   *
   * @param wanted keys to be looked at; for programs that change all the time
   */
  static ContainerFacts of(long initPid, Predicate<String> wanted) {
    var facts = new TreeMap<String, String>();
    var names = new HashMap<String, String>();
    var members = new TreeMap<Integer, Long>();
    for (long pid : members(initPid)) {
      status(pid).ifPresent(status -> members.put(last(status.get("NSpid")), pid));
    }
    members.forEach((inner, pid) -> look(facts, names, inner, pid));
    facts.keySet().removeIf(wanted.negate());
    return new ContainerFacts(initPid, facts);
  }

  /** Processes in the pid namespace of a container's first process, as the host counts; empty when it is gone. */
  static List<Long> members(long initPid) {
    Optional<String> namespace = link(Path.of("/proc/" + initPid + "/ns/pid"));
    return ProcessHandle.allProcesses()
        .map(ProcessHandle::pid)
        .filter(pid -> namespace.isPresent() && link(Path.of("/proc/" + pid + "/ns/pid")).equals(namespace))
        .toList();
  }

  /** Resident memory of the whole container with what is shared counted once, in bytes (man 5 proc_pid_smaps, Pss). */
  static long proportionalBytes(long initPid) {
    // The parts add up only while nobody comes or goes.
    for (int look = 0; look < LOOKS_MAX; look++) {
      long kibibytes = 0;
      var members = members(initPid);
      for (long pid : members) {
        kibibytes +=
            text(Path.of("/proc/" + pid + "/smaps_rollup"))
                .lines()
                .filter(line -> line.startsWith("Pss:"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                .sum();
      }
      if (members(initPid).equals(members)) {
        return kibibytes << 10;
      }
    }
    throw new AssertionError("processes come and go all the time");
  }

  /** Everything that a move leaves in a process although it should not: registrations with a userfaultfd, tracers, a cgroup that is frozen. */
  static List<String> traces(long initPid) {
    var found = new ArrayList<String>();
    for (long pid : members(initPid)) {
      // Flags uw, um and ui: registered with a userfaultfd for write protection, missing pages, minor faults.
      text(Path.of("/proc/" + pid + "/smaps"))
          .lines()
          .filter(line -> line.startsWith("VmFlags:") && line.matches(".* (uw|um|ui) .*"))
          .findFirst()
          .ifPresent(line -> found.add("process " + pid + " has memory registered with a userfaultfd: " + line));
      status(pid)
          .filter(status -> !status.getOrDefault("TracerPid", "0").equals("0"))
          .ifPresent(status -> found.add("process " + pid + " is traced by process " + status.get("TracerPid")));
      text(Path.of("/proc/" + pid + "/maps"))
          .lines()
          .filter(line -> line.contains("gantry-stub"))
          .findFirst()
          .ifPresent(line -> found.add("process " + pid + " has memory of the stub: " + line));
    }
    return found;
  }

  private static void look(SortedMap<String, String> facts, Map<String, String> names, int inner, long pid) {
    Path directory = Path.of("/proc/" + pid);
    Optional<Map<String, String>> status = status(pid);
    if (status.isEmpty()) {
      return;
    }
    String prefix = inner + "/";
    boolean zombie = status.get().get("State").startsWith("Z");
    facts.put(prefix + "zombie", Boolean.toString(zombie));
    facts.put(prefix + "process group", Integer.toString(last(status.get().get("NSpgid"))));
    facts.put(prefix + "session", Integer.toString(last(status.get().get("NSsid"))));
    facts.put(prefix + "parent", parent(status.get()));
    // Nobody can notice what signals mean to a process that has ended, and the kernel keeps it by accident.
    STATUS_LINES.stream()
        .filter(status.get()::containsKey)
        .filter(line -> !(zombie && line.startsWith("Sig")))
        .forEach(line -> facts.put(prefix + line, status.get().get(line)));
    if (zombie) {
      return;
    }
    for (String name : new String[] {"exe", "cwd", "root"}) {
      link(directory.resolve(name)).ifPresent(target -> facts.put(prefix + name, target));
    }
    for (String name : new String[] {"cmdline", "environ", "auxv", "limits", "oom_score_adj", "personality", "coredump_filter", "timerslack_ns"}) {
      facts.put(prefix + name, Integer.toHexString(text(directory.resolve(name)).hashCode()));
    }
    facts.put(prefix + "limits", text(directory.resolve("limits")));
    threads(facts, prefix, directory);
    descriptors(facts, names, prefix, directory);
  }

  private static void threads(SortedMap<String, String> facts, String prefix, Path directory) {
    for (Path task : list(directory.resolve("task"))) {
      Map<String, String> status = statusIn(task);
      // Empty when the thread has ended since its status was read.
      String stat = text(task.resolve("stat"));
      if (status.containsKey("NSpid") && !stat.isEmpty()) {
        String key = prefix + "thread " + last(status.get("NSpid"));
        // Fields of man 5 proc_pid_stat counted behind the name: 18 priority, 19 nice, 40 rt_priority, 41 policy.
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        facts.put(
            key,
            status.get("Name") + ", mask " + status.get("SigBlk") + ", priority " + fields[15] + ", nice " + fields[16] + ", real-time priority "
                + fields[37] + ", policy " + fields[38] + ", processors " + status.get("Cpus_allowed"));
      }
    }
  }

  private static void descriptors(SortedMap<String, String> facts, Map<String, String> names, String prefix, Path directory) {
    var numbers = new TreeMap<Integer, Path>();
    list(directory.resolve("fd")).forEach(path -> numbers.put(Integer.valueOf(path.getFileName().toString()), path));
    numbers.forEach(
        (number, path) ->
            link(path)
                .ifPresent(
                    target -> {
                      String key = prefix + "descriptor " + number;
                      // Of "pipe:[123]" only who shares it can be the same afterwards.
                      String shown = target;
                      if (target.matches("(pipe|socket):\\[\\d+]")) {
                        shown = target.substring(0, target.indexOf(':')) + " first seen as " + names.computeIfAbsent(target, first -> key);
                      }
                      String flags =
                          text(directory.resolve("fdinfo").resolve(Integer.toString(number)))
                              .lines()
                              .filter(line -> line.startsWith("flags:"))
                              .collect(Collectors.joining());
                      facts.put(key, shown + ", " + flags);
                    }));
  }

  private static String parent(Map<String, String> status) {
    long parent = Long.parseLong(status.get("PPid"));
    return status(parent)
        .filter(above -> above.get("NSpid").trim().split("\\s+").length > 1)
        .map(above -> Integer.toString(last(above.get("NSpid"))))
        .orElse("outside");
  }

  private static int last(String ids) {
    String[] words = ids.trim().split("\\s+");
    return Integer.parseInt(words[words.length - 1]);
  }

  private static Optional<Map<String, String>> status(long pid) {
    Map<String, String> status = statusIn(Path.of("/proc/" + pid));
    return status.containsKey("NSpid") ? Optional.of(status) : Optional.empty();
  }

  private static Map<String, String> statusIn(Path directory) {
    var values = new HashMap<String, String>();
    text(directory.resolve("status"))
        .lines()
        .forEach(
            line -> {
              int colon = line.indexOf(':');
              values.put(line.substring(0, colon), line.substring(colon + 1).trim());
            });
    return values;
  }

  private static List<Path> list(Path directory) {
    try (Stream<Path> entries = Files.list(directory)) {
      return entries.toList();
    } catch (IOException gone) {
      return List.of();
    }
  }

  private static Optional<String> link(Path path) {
    try {
      return Optional.of(Files.readSymbolicLink(path).toString());
    } catch (IOException gone) {
      return Optional.empty();
    }
  }

  /** Empty when the process is gone. */
  private static String text(Path path) {
    try {
      return new String(Files.readAllBytes(path), StandardCharsets.ISO_8859_1);
    } catch (IOException gone) {
      return "";
    }
  }
}
