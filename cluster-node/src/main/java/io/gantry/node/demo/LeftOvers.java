package io.gantry.node.demo;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.ExecutionException;

/**
 * Removes what a cluster that was killed could not remove itself: processes that carry its mark in their environment (nobody else's
 * do), their cgroups, and its files.
 */
public final class LeftOvers {
  private LeftOvers() {}

  /**
   * Kills every process that has {@code variable=value} in its environment, and removes the cgroups they were in.
   *
   * @return how many there were
   */
  public static int kill(String variable, String value) {
    Set<Path> cgroups = new HashSet<>();
    List<ProcessHandle> killed = new ArrayList<>();
    for (ProcessHandle process : marked(variable, value)) {
      cgroup(process.pid()).ifPresent(cgroups::add);
      if (process.destroyForcibly()) {
        killed.add(process);
      }
    }
    for (ProcessHandle process : killed) {
      await(process, Duration.ofSeconds(5));
    }
    for (Path cgroup : cgroups) {
      removeCgroup(cgroup);
    }
    return killed.size();
  }

  private static List<ProcessHandle> marked(String variable, String value) {
    byte[] mark = ("\0" + variable + "=" + value + "\0").getBytes(StandardCharsets.UTF_8);
    return ProcessHandle.allProcesses()
        .filter(process -> process.pid() != ProcessHandle.current().pid())
        .filter(process -> contains(environment(process.pid()), mark))
        .toList();
  }

  private static byte[] environment(long pid) {
    try {
      byte[] bytes = Files.readAllBytes(Path.of("/proc/" + pid + "/environ"));
      byte[] framed = new byte[bytes.length + 2];
      System.arraycopy(bytes, 0, framed, 1, bytes.length);
      return framed;
    } catch (IOException gone) {
      return new byte[0];
    }
  }

  private static boolean contains(byte[] text, byte[] part) {
    outer:
    for (int start = 0; start <= text.length - part.length; start++) {
      for (int i = 0; i < part.length; i++) {
        if (text[start + i] != part[i]) {
          continue outer;
        }
      }
      return true;
    }
    return false;
  }

  /** The v2 cgroup of a process, unless it is the root or shared with us. */
  private static Optional<Path> cgroup(long pid) {
    try {
      String own = unified(ProcessHandle.current().pid());
      String its = unified(pid);
      return its.isEmpty() || its.equals("/") || its.equals(own) ? Optional.empty() : mount().map(root -> root.resolve(its.substring(1)));
    } catch (IOException gone) {
      return Optional.empty();
    }
  }

  private static String unified(long pid) throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/" + pid + "/cgroup"))) {
      if (line.startsWith("0::")) {
        return line.substring(3);
      }
    }
    return "";
  }

  private static Optional<Path> mount() throws IOException {
    return Files.readAllLines(Path.of("/proc/self/mounts")).stream()
        .map(line -> line.split(" "))
        .filter(fields -> fields.length > 2 && fields[2].equals("cgroup2"))
        .map(fields -> Path.of(fields[1]))
        .findFirst();
  }

  private static void removeCgroup(Path cgroup) {
    // A cgroup can be removed a moment after its last process was reaped.
    long deadlineNs = System.nanoTime() + TimeUnit.SECONDS.toNanos(3);
    while (System.nanoTime() < deadlineNs) {
      try {
        Files.deleteIfExists(cgroup);
        removeEmptyParents(cgroup);
        return;
      } catch (IOException busy) {
        java.util.concurrent.locks.LockSupport.parkNanos(20_000_000);
      }
    }
  }

  /** The node's own cgroup, and the one of all nodes, when this was the last in them. The kernel refuses while anything is there. */
  private static void removeEmptyParents(Path cgroup) {
    for (Path parent = cgroup.getParent(); parent != null && parent.toString().contains("/gantry"); parent = parent.getParent()) {
      try {
        Files.deleteIfExists(parent);
      } catch (IOException inUse) {
        return;
      }
    }
  }

  /** Waits until a process has ended. */
  static boolean await(ProcessHandle process, Duration longest) {
    try {
      process.onExit().get(longest.toMillis(), TimeUnit.MILLISECONDS);
      return true;
    } catch (TimeoutException | ExecutionException notYet) {
      return !process.isAlive();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      return !process.isAlive();
    }
  }

  /** Deletes a directory with all that is in it, without following links. Does nothing when it is not there. */
  public static void deleteTree(Path directory) throws IOException {
    try {
      Files.walkFileTree(
          directory,
          new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
              Files.deleteIfExists(file);
              return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException failure) throws IOException {
              if (failure instanceof NoSuchFileException) {
                return FileVisitResult.CONTINUE;
              }
              throw failure;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path visited, IOException failure) throws IOException {
              Files.deleteIfExists(visited);
              return FileVisitResult.CONTINUE;
            }
          });
    } catch (NoSuchFileException gone) {
      return;
    }
  }

  /** Removes buffers of media drivers whose process is one of {@code pids}; a driver that was killed could not. */
  static void deleteAeronDirectories(Set<Long> pids) throws IOException {
    Path shm = Path.of("/dev/shm");
    if (!Files.isDirectory(shm)) {
      return;
    }
    try (DirectoryStream<Path> found = Files.newDirectoryStream(shm, "gantry-aeron-*")) {
      for (Path directory : found) {
        // gantry-aeron-PIDNS-PID-START-N, see io.gantry.transport.AeronDirectory.
        String[] parts = directory.getFileName().toString().split("-");
        if (parts.length >= 5 && pids.contains(Long.parseLong(parts[3]))) {
          deleteTree(directory);
        }
      }
    } catch (NumberFormatException foreign) {
      throw new IOException("a directory in " + shm + " has a name that is not understood", foreign);
    }
  }
}
