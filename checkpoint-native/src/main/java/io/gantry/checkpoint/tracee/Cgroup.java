package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Poll;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * One directory of the cgroup v2 hierarchy ({@code Documentation/admin-guide/cgroup-v2.rst}). Its path identifies it, so a restarted
 * agent finds it again. Any thread.
 *
 * @param path absolute
 */
public record Cgroup(Path path) {
  private static final String PARENT = "gantry";
  private static final int EVENTS_BYTES_MAX = 512;

  /** Where the host has mounted cgroup v2, which may be beside v1. */
  public static Path mountPoint() {
    // man 5 proc_pid_mountinfo: ID parent major:minor root mountpoint options ... - type source options
    for (String line : new String(Fd.readAll("/proc/self/mountinfo"), StandardCharsets.UTF_8).split("\n")) {
      int separator = line.indexOf(" - ");
      if (separator > 0 && line.startsWith("cgroup2 ", separator + 3)) {
        return Path.of(line.split(" ")[4].replace("\\040", " "));
      }
    }
    throw new CheckpointException(
        "this host has no cgroup v2 hierarchy mounted; mount -t cgroup2 none /sys/fs/cgroup/unified (or boot with systemd's unified hierarchy)");
  }

  /** The one that this process is in. */
  public static Cgroup ofThisProcess() {
    return of("self");
  }

  /** The one that a process is in. */
  public static Cgroup ofProcess(int pid) {
    return of(Integer.toString(pid));
  }

  private static Cgroup of(String process) {
    // man 7 cgroups: hierarchy 0 without controllers is version 2.
    for (String line : new String(Fd.readIfThere("/proc/" + process + "/cgroup").orElse(new byte[0]), StandardCharsets.UTF_8).split("\n")) {
      if (line.startsWith("0::")) {
        return new Cgroup(mountPoint().resolve("." + line.substring(3)).normalize());
      }
    }
    throw new CheckpointException("process " + process + " is in no cgroup of version 2, or has ended; see /proc/" + process + "/cgroup");
  }

  /** Creates {@code gantry/NAME} below the mount point; fails when it exists. */
  public static Cgroup create(String name) {
    var path = mountPoint().resolve(PARENT).resolve(name);
    try {
      Files.createDirectories(path.getParent());
      Files.createDirectory(path);
    } catch (IOException e) {
      throw new CheckpointException("cannot create cgroup " + path + ": " + e, e);
    }
    return new Cgroup(path);
  }

  /** Removes the directory that holds containers of one agent, and Gantry's own, as far as they are empty. */
  public static void removeGroupIfEmpty(String group) {
    for (var directory : List.of(mountPoint().resolve(PARENT).resolve(group), mountPoint().resolve(PARENT))) {
      try {
        Files.deleteIfExists(directory);
      } catch (IOException inUse) {
        return;
      }
    }
  }

  public boolean exists() {
    return Files.isDirectory(path);
  }

  /** Living processes in it and in the cgroups below it, as the host counts; zombies are not among them. */
  public List<Integer> processes() {
    var found = new ArrayList<Integer>();
    collect(path, found);
    return found;
  }

  private static void collect(Path directory, List<Integer> found) {
    var bytes = Fd.readIfThere(directory + "/cgroup.procs");
    if (bytes.isEmpty()) {
      return;
    }
    int pid = 0;
    for (byte b : bytes.get()) {
      if (b == '\n') {
        found.add(pid);
        pid = 0;
      } else {
        pid = pid * 10 + b - '0';
      }
    }
    for (var child : children(directory)) {
      collect(child, found);
    }
  }

  private static List<Path> children(Path directory) {
    try (Stream<Path> entries = Files.list(directory)) {
      return entries.filter(Files::isDirectory).toList();
    } catch (IOException gone) {
      return List.of();
    }
  }

  /** A descriptor for {@code CLONE_INTO_CGROUP}; the caller closes it. */
  int open() {
    return Fd.open(path.toString(), Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_CLOEXEC, 0);
  }

  /** Writes one of the cgroup's files. */
  void write(String file, String value) {
    int fd = Fd.open(path.resolve(file).toString(), Fd.O_WRONLY | Fd.O_CLOEXEC, 0);
    try {
      Fd.write(fd, value.getBytes(StandardCharsets.US_ASCII));
    } finally {
      Fd.close(fd);
    }
  }

  /** Moves a process, with all its threads, into it. */
  public void add(int pid) {
    write("cgroup.procs", Integer.toString(pid));
  }

  /** Sends {@code SIGKILL} to everything in it, frozen or not, at once. Nothing happens when it does not exist. */
  public void kill() {
    if (exists()) {
      write("cgroup.kill", "1");
    }
  }

  /** Waits until nothing lives in it any more. */
  public void awaitEmpty(Duration limit) {
    long end = System.nanoTime() + limit.toNanos();
    while (exists() && !event("populated", 0, end)) {
      if (System.nanoTime() >= end) {
        throw new CheckpointException("processes " + processes() + " in cgroup " + path + " are still there after " + limit.toMillis() + " ms");
      }
    }
  }

  /** Removes it and the cgroups below it; they must be empty. Nothing happens when it does not exist. */
  public void remove() {
    if (!exists()) {
      return;
    }
    for (var child : children(path)) {
      new Cgroup(child).remove();
    }
    try {
      Files.deleteIfExists(path);
    } catch (IOException e) {
      throw new CheckpointException("cannot remove cgroup " + path + ", processes " + processes() + " are in it: " + e, e);
    }
  }

  /**
   * Waits for a value in {@code cgroup.events}, which the kernel announces to pollers.
   *
   * @param endNs as {@link System#nanoTime}
   * @return whether it has the value
   */
  boolean event(String name, int wanted, long endNs) {
    int fd = Fd.tryOpen(path.resolve("cgroup.events").toString(), Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
    if (fd < 0) {
      throw new CheckpointException("cgroup " + path + " does not exist (any more): " + Errno.describe(-fd));
    }
    try {
      while (true) {
        // Opening the file anew would lose the announcement, reading it from the start acknowledges it.
        String text = new String(Fd.readAt(fd, 0, EVENTS_BYTES_MAX), StandardCharsets.US_ASCII);
        if (text.contains(name + " " + wanted)) {
          return true;
        }
        long left = endNs - System.nanoTime();
        if (left <= 0) {
          return false;
        }
        Poll.await(fd, Poll.PRI | Poll.ERR, (int) Math.min(1000, left / 1_000_000 + 1));
      }
    } finally {
      Fd.close(fd);
    }
  }
}
