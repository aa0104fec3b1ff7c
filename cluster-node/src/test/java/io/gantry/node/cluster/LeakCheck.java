package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;

/**
 * Looks for what a cluster should not have left on this host. It knows its own things by their names, since other runs may be going on at
 * the same time.
 */
final class LeakCheck {
  private LeakCheck() {}

  /**
   * Fails when something is there; gives the kernel a moment to take cgroups away.
   *
   * @param names parts of names that only this cluster's things have
   */
  static void assertNothingLeft(List<String> names, String logs) {
    await()
        .atMost(Duration.ofSeconds(5))
        .untilAsserted(() -> assertThat(look(names)).as("left behind by the cluster; its logs:\n" + logs).isEmpty());
  }

  private static Set<String> look(List<String> names) {
    var found = new TreeSet<String>();
    try {
      for (String line : Files.readAllLines(Path.of("/proc/self/mounts"))) {
        String[] fields = line.split(" ");
        if (fields[2].equals("cgroup2")) {
          addBelow(found, "cgroup", Path.of(fields[1]), names);
        } else if (names.stream().anyMatch(fields[1]::contains)) {
          found.add("mount " + fields[1]);
        }
      }
      addBelow(found, "buffers", Path.of("/dev/shm"), names);
      addBelow(found, "network namespace", Path.of("/run/netns"), names);
    } catch (IOException failure) {
      throw new AssertionError("the host cannot be looked at", failure);
    }
    return found;
  }

  private static void addBelow(Set<String> found, String kind, Path root, List<String> names) throws IOException {
    if (!Files.isDirectory(root)) {
      return;
    }
    Files.walkFileTree(
        root,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) {
            return note(directory);
          }

          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
            return note(file);
          }

          @Override
          public FileVisitResult visitFileFailed(Path file, IOException vanished) {
            // Somebody else's, which goes while it is looked at; a name of ours shows in the next look.
            return note(file);
          }

          private FileVisitResult note(Path path) {
            String name = path.getFileName() == null ? "" : path.getFileName().toString();
            if (names.stream().anyMatch(name::contains)) {
              found.add(kind + " " + path);
            }
            return FileVisitResult.CONTINUE;
          }
        });
  }

  /** Kills every process that has the mark in its environment, and says what they were. */
  static List<String> killMarked(String variable, String value) {
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
