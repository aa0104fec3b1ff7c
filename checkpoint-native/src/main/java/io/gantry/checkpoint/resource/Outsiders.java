package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.linux.Directory;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.procfs.TaskStatus;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Finds pipes, sockets and terminals that a process outside the container has open as well: a move would tear them apart. */
final class Outsiders {
  private static final int ANCESTORS_MAX = 64;

  private Outsiders() {}

  /** Who has a socket open, for sentences. Slow: looks at every descriptor of the host. */
  static String holder(long inode) {
    var link = "socket:[" + inode + "]";
    var found = findHolder(link);
    return found.map(where -> link + ", open as " + where).orElse(link + ", which no process has open");
  }

  /** Whether any process of the host has a socket open. Slow. */
  static boolean isHeld(long inode) {
    return findHolder("socket:[" + inode + "]").isPresent();
  }

  private static Optional<String> findHolder(String link) {
    for (int pid : Directory.numbers("/proc")) {
      var directory = Path.of("/proc/" + pid + "/fd");
      for (int fd : Directory.numbers(directory.toString())) {
        try {
          if (Files.readSymbolicLink(directory.resolve(Integer.toString(fd))).toString().equals(link)) {
            return Optional.of("descriptor " + fd + " of process " + pid);
          }
        } catch (IOException gone) {
          // The process or its descriptor went away meanwhile.
        }
      }
    }
    return Optional.empty();
  }

  static List<Finding> find(Inventory inventory) {
    var links = new HashSet<String>();
    for (var seen : inventory.descriptors()) {
      if (seen.link().startsWith("pipe:[") || seen.isSocket() || isSlave(seen)) {
        links.add(seen.link());
      }
    }
    var findings = new ArrayList<Finding>();
    if (links.isEmpty()) {
      return findings;
    }
    var inside = new HashSet<String>();
    inventory.processes().forEach(process -> inside.add(Integer.toString(process.pid())));
    var reported = new HashSet<String>();
    try (var processes = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
      for (var process : processes) {
        if (!inside.contains(process.getFileName().toString()) && !isNewcomer(process, inside)) {
          look(process, links, reported, inventory, findings);
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException("listing /proc", e);
    }
    return findings;
  }

  /**
   * A running container forks while it is looked at: who descends from its processes, or lives in its pid namespace, belongs to
   * it.
   */
  private static boolean isNewcomer(Path process, Set<String> inside) {
    var own = namespace(Path.of("/proc/self"));
    var its = namespace(process);
    if (its.isPresent() && !its.equals(own) && inside.stream().anyMatch(pid -> namespace(Path.of("/proc/" + pid)).equals(its))) {
      return true;
    }
    try {
      int pid = Integer.parseInt(process.getFileName().toString());
      for (int level = 0; level < ANCESTORS_MAX && pid > 1; level++) {
        pid = TaskStatus.ofProcess(pid).parent();
        if (inside.contains(Integer.toString(pid))) {
          return true;
        }
      }
    } catch (NoSuchFileException ended) {
      // Then it has nothing open any more.
      return true;
    }
    return false;
  }

  private static Optional<String> namespace(Path process) {
    try {
      return Optional.of(Files.readSymbolicLink(process.resolve("ns/pid")).toString());
    } catch (IOException gone) {
      return Optional.empty();
    }
  }

  private static boolean isSlave(SeenDescriptor seen) {
    return seen.link().startsWith("/dev/pts/") && PseudoTerminal.is(seen);
  }

  /** Terminals of different containers have the same name. */
  private static boolean isSame(SeenDescriptor seen, Path descriptor) {
    return FileStatus.of(descriptor.toString()).filter(seen.status()::sameInode).isPresent();
  }

  private static void look(
      Path process, Set<String> links, Set<String> reported, Inventory inventory, List<Finding> findings) {
    try (DirectoryStream<Path> descriptors = Files.newDirectoryStream(process.resolve("fd"))) {
      for (var descriptor : descriptors) {
        var link = Files.readSymbolicLink(descriptor).toString();
        if (links.contains(link) && !reported.contains(link)) {
          for (var seen : inventory.withLink(link)) {
            if (isSlave(seen) && !isSame(seen, descriptor)) {
              continue;
            }
            reported.add(link);
            findings.add(
                new Finding(
                    seen.process().pid(),
                    seen.fd(),
                    link.startsWith("pipe") ? "pipe" : isSlave(seen) ? "terminal" : "socket",
                    "process "
                        + process.getFileName()
                        + ", which is not part of the container, has it open as descriptor "
                        + descriptor.getFileName()));
          }
        }
      }
    } catch (IOException | DirectoryIteratorException gone) {
      // The process or its descriptor went away meanwhile, or it is a zombie.
    }
  }
}
