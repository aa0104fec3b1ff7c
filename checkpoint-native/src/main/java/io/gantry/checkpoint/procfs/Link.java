package io.gantry.checkpoint.procfs;

import io.gantry.checkpoint.CheckpointException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Symbolic links of {@code /proc/PID}. */
public final class Link {
  private Link() {}

  /** What a link such as {@code "exe"} or {@code "fd/3"} says; empty when it is not there. */
  public static Optional<String> read(int pid, String name) {
    return read(Integer.toString(pid), name);
  }

  static Optional<String> read(String pid, String name) {
    try {
      return Optional.of(Files.readSymbolicLink(Path.of("/proc/" + pid + "/" + name)).toString());
    } catch (IOException e) {
      return Optional.empty();
    }
  }

  /** Inode number of what a link leads to; empty when it is not there. */
  public static Optional<Long> inode(int pid, String name) {
    try {
      return Optional.of((Long) Files.getAttribute(Path.of("/proc/" + pid + "/" + name), "unix:ino"));
    } catch (IOException e) {
      return Optional.empty();
    }
  }

  /** Numbers of all open descriptors; empty when the process has ended. */
  public static List<Integer> descriptors(int pid) {
    var numbers = new ArrayList<Integer>();
    try (var entries = Files.newDirectoryStream(Path.of("/proc/" + pid + "/fd"))) {
      for (var entry : entries) {
        numbers.add(Integer.valueOf(entry.getFileName().toString()));
      }
    } catch (IOException | java.nio.file.DirectoryIteratorException e) {
      if (Files.exists(Path.of("/proc/" + pid + "/stat"))) {
        throw new CheckpointException("listing /proc/" + pid + "/fd failed: " + e.getMessage(), e);
      }
      return List.of();
    }
    return numbers;
  }
}
