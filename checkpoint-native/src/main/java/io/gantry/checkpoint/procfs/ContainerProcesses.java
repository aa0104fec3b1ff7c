package io.gantry.checkpoint.procfs;

import io.gantry.checkpoint.ContainerHandle;
import io.gantry.checkpoint.ProcessFacts;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The processes of a container's cgroup with their figures, read without stopping them. Any thread. */
public final class ContainerProcesses {
  /** {@code sysconf(_SC_CLK_TCK)} is 100 on every Linux port that has an x86-64 user space ({@code man 5 proc_pid_stat}, field 14). */
  private static final long NS_PER_TICK = 10_000_000;

  private ContainerProcesses() {}

  /** Live processes by id; those that end while they are read are left out. Empty when the cgroup is gone. */
  public static List<ProcessFacts> read(ContainerHandle container) {
    var processes = new ArrayList<ProcessFacts>();
    try {
      for (var line : Files.readAllLines(container.cgroup().resolve("cgroup.procs"))) {
        readOne(Integer.parseInt(line.strip())).ifPresent(processes::add);
      }
    } catch (IOException _) {
      return List.of();
    }
    return processes.stream().sorted((a, b) -> Integer.compare(a.pid(), b.pid())).toList();
  }

  private static Optional<ProcessFacts> readOne(int pid) {
    var directory = Path.of("/proc", Integer.toString(pid));
    try {
      var name = "";
      var threads = 0;
      var residentBytes = 0L;
      var containerPid = pid;
      // Names may hold any byte but zero and newline.
      for (var line : Files.readString(directory.resolve("status"), StandardCharsets.ISO_8859_1).split("\n")) {
        var colon = line.indexOf(':');
        var value = colon < 0 ? "" : line.substring(colon + 1).strip();
        switch (colon < 0 ? "" : line.substring(0, colon)) {
          case "Name" -> name = value;
          case "Threads" -> threads = Integer.parseInt(value);
          case "VmRSS" -> residentBytes = Long.parseLong(value.split("\\s+")[0]) * 1024;
          case "NSpid" -> containerPid = Integer.parseInt(value.substring(Math.max(value.lastIndexOf('\t'), value.lastIndexOf(' ')) + 1));
          default -> {}
        }
      }
      var stat = Files.readString(directory.resolve("stat"), StandardCharsets.ISO_8859_1);
      // Behind the name come the fields from the third on; utime and stime are the 14th and 15th.
      var fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
      var cpuNs = (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) * NS_PER_TICK;
      return Optional.of(new ProcessFacts(pid, containerPid, name, threads, residentBytes, cpuNs));
    } catch (IOException _) {
      return Optional.empty(); // ended meanwhile
    }
  }
}
