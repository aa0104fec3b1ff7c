package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Pattern;

/** A file with a name. Its content is the file system's affair; the path must lead to it on both hosts. */
final class RegularFile implements FileKind {
  private static final Pattern OF_PROCESS = Pattern.compile("/proc/(\\d+)/(?:task/\\d+/)?(.*)");
  /** Files below {@code /proc/PID} that can be read again from any position and that show nothing but the process itself. */
  private static final Set<String> READABLE_OF_PROCESS =
      Set.of(
          "auxv", "cgroup", "children", "cmdline", "comm", "coredump_filter", "environ", "gid_map", "io", "limits", "loginuid", "maps",
          "mountinfo", "mounts", "mountstats", "numa_maps", "oom_score", "oom_score_adj", "personality", "sched", "schedstat", "sessionid",
          "setgroups", "smaps", "smaps_rollup", "stat", "statm", "status", "timers", "timerslack_ns", "uid_map", "wchan");

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return switch (seen.status().type()) {
      case FileStatus.S_IFREG -> isProc(seen.link()) ? "file of /proc" : "regular file";
      default -> "path";
    };
  }

  @Override
  public String how() {
    return "is opened again by its path, with the same position and flags";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isPath() && seen.status().type() == FileStatus.S_IFREG;
  }

  /** Whether the kernel makes its content up as it is read, so that a size means nothing. */
  static boolean isGenerated(String path) {
    return isProc(path) || path.startsWith("/sys/") || path.startsWith("/run/gantry/");
  }

  private static boolean isProc(String path) {
    return path.startsWith("/proc/");
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    var found = new ArrayList<>(PathFile.obstacles(seen, inventory));
    if (isProc(seen.link())) {
      int flags = seen.info().statusFlags();
      var ofProcess = OF_PROCESS.matcher(seen.link());
      if ((flags & 3) != Fd.O_RDONLY) {
        found.add(seen.link() + " is open for writing, and what was set through it cannot be known");
      } else if (ofProcess.matches()) {
        int nsPid = Integer.parseInt(ofProcess.group(1));
        boolean inside = inventory.processes().stream().anyMatch(process -> process.nsPid() == nsPid);
        if (!inside || !READABLE_OF_PROCESS.contains(ofProcess.group(2))) {
          found.add(seen.link() + " cannot be opened again on another host; the program has to close it first");
        }
      }
    }
    return found;
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    return PathFile.capture(id, seen, seen.info().position(), copy, session);
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.REG && (file.getReg().getMode() & FileStatus.S_IFMT) == FileStatus.S_IFREG;
  }

  @Override
  public OptionalInt sends(file_entry file, Recreation recreation) {
    return file.getReg().getOutside() ? OptionalInt.of(recreation.outsideFile(file.getReg())) : OptionalInt.empty();
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    PathFile.recreate(file, home, recreation);
  }

  /**
   * Setting a position in a file of /proc makes the kernel write its content, which is then what is read next ({@code fs/seq_file.c}); it must not
   * be that of a stub.
   */
  static boolean isPositionedLast(file_entry file) {
    var entry = file.getReg();
    return entry.getPos() != 0 && isGenerated(entry.getName()) && (entry.getMode() & FileStatus.S_IFMT) == FileStatus.S_IFREG;
  }

  @Override
  public boolean isFinishedLast(file_entry file) {
    return isPositionedLast(file);
  }

  @Override
  public void finish(file_entry file, int copy, int pid) {
    long position = file.getReg().getPos();
    if (Fd.seek(copy, position, Fd.SEEK_SET) != position) {
      throw new CheckpointException("setting the position of " + file.getReg().getName() + " to " + position + " failed");
    }
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return PathFile.lateFlags(file);
  }
}
