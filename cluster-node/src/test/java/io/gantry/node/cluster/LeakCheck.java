package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** What of Gantry is on this host, before and after a test. */
final class LeakCheck {
  private final Set<String> before;

  private LeakCheck(Set<String> before) {
    this.before = before;
  }

  static LeakCheck before() {
    return new LeakCheck(look());
  }

  /** Fails when there is more than before; gives the kernel a moment to take cgroups away. */
  void assertNothingLeft(String logs) {
    await()
        .atMost(Duration.ofSeconds(5))
        .untilAsserted(
            () -> {
              Set<String> left = look();
              left.removeAll(before);
              assertThat(left).as("left behind by the cluster; its logs:\n" + logs).isEmpty();
            });
  }

  private static Set<String> look() {
    var found = new TreeSet<String>();
    try {
      for (String line : Files.readAllLines(Path.of("/proc/self/mounts"))) {
        String[] fields = line.split(" ");
        if (fields[2].equals("cgroup2")) {
          addBelow(found, "cgroup", Path.of(fields[1]), Integer.MAX_VALUE, true);
        } else if (fields[1].contains("gantry")) {
          found.add("mount " + fields[1]);
        }
      }
      addBelow(found, "buffers", Path.of("/dev/shm"), 1, false);
      addBelow(found, "network namespace", Path.of("/run/netns"), 1, false);
    } catch (IOException failure) {
      throw new AssertionError("the host cannot be looked at", failure);
    }
    return found;
  }

  private static void addBelow(Set<String> found, String kind, Path root, int depth, boolean directoriesOnly) throws IOException {
    if (!Files.isDirectory(root)) {
      return;
    }
    try (Stream<Path> paths = Files.walk(root, depth)) {
      paths
          .filter(path -> path.toString().contains("gantry"))
          .filter(path -> !directoriesOnly || Files.isDirectory(path))
          .forEach(path -> found.add(kind + " " + path));
    } catch (java.io.UncheckedIOException vanished) {
      // A cgroup that goes while it is looked at: the next look tells.
      found.add(kind + " changes while it is looked at: " + vanished.getMessage());
    }
  }

  /** Kills every process that has the mark in its environment, and says what they were. */
  List<String> killMarked(String variable, String value) {
    String mark = variable + "=" + value;
    var killed = new ArrayList<String>();
    for (ProcessHandle process : ProcessHandle.allProcesses().toList()) {
      if (process.pid() != ProcessHandle.current().pid() && environment(process.pid()).contains(mark)) {
        killed.add("process " + process.pid() + " " + commandLine(process.pid()));
        process.destroyForcibly();
        try {
          process.onExit().get(5, TimeUnit.SECONDS);
        } catch (InterruptedException interrupted) {
          Thread.currentThread().interrupt();
        } catch (java.util.concurrent.ExecutionException | java.util.concurrent.TimeoutException still) {
          killed.add("process " + process.pid() + " does not die");
        }
      }
    }
    return killed;
  }

  private static List<String> environment(long pid) {
    return strings(pid, "environ");
  }

  private static String commandLine(long pid) {
    return String.join(" ", strings(pid, "cmdline"));
  }

  private static List<String> strings(long pid, String file) {
    try {
      return List.of(new String(Files.readAllBytes(Path.of("/proc/" + pid + "/" + file)), StandardCharsets.UTF_8).split("\0"));
    } catch (IOException gone) {
      return List.of();
    }
  }
}
