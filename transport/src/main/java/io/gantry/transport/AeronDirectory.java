package io.gantry.transport;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The directory of one media driver, {@code gantry-aeron-PIDNS-PID-START-N}. The name says whose it is: the process id means
 * something only within its pid namespace, and together with the start time it is not mistaken for a later process's.
 */
final class AeronDirectory {
  static final String PREFIX = "gantry-aeron-";

  private static final Logger LOG = LoggerFactory.getLogger(AeronDirectory.class);
  private static final Path TIME_NAMESPACE = Path.of("/proc/self/ns/time");
  private static final AtomicInteger NEXT = new AtomicInteger();

  private AeronDirectory() {}

  /** A name that nobody else has. */
  static Path unique(Path parent) {
    long pid = ProcessHandle.current().pid();
    return parent.resolve(PREFIX + namespaces() + "-" + pid + "-" + startTicks(pid) + "-" + NEXT.incrementAndGet());
  }

  /** Deletes what processes left behind that are gone. Returns how many directories. */
  static int sweep(Path parent) {
    String mine = PREFIX + namespaces() + "-";
    int swept = 0;
    try (DirectoryStream<Path> entries = Files.newDirectoryStream(parent, mine + "*")) {
      for (Path entry : entries) {
        String[] parts = entry.getFileName().toString().substring(mine.length()).split("-");
        boolean ours = parts.length == 3 && Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS);
        if (ours && isGone(parts[0], parts[1])) {
          delete(entry);
          swept++;
          LOG.info("Deleted {}, left behind by process {}, which is gone", entry, parts[0]);
        }
      }
    } catch (IOException e) {
      LOG.warn("Directories that earlier processes left in {} cannot be looked for: {}", parent, e.toString());
    }
    return swept;
  }

  /** Deletes a driver's directory; links in it are deleted, never followed. */
  static void delete(Path directory) {
    if (!Files.exists(directory, LinkOption.NOFOLLOW_LINKS)) {
      return;
    }
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
            public FileVisitResult postVisitDirectory(Path emptied, IOException failure) throws IOException {
              Files.deleteIfExists(emptied);
              return FileVisitResult.CONTINUE;
            }
          });
    } catch (IOException e) {
      LOG.warn("{} cannot be deleted: {}; it may be deleted by hand", directory, e.toString());
    }
  }

  private static boolean isGone(String pid, String startTicks) {
    try {
      long start = startTicks(Long.parseLong(pid));
      return start < 0 || start != Long.parseLong(startTicks);
    } catch (NumberFormatException e) {
      return false;
    }
  }

  /** Field 22 of {@code /proc/PID/stat} (man 5 proc): clock ticks after boot; -1 when there is no such process. */
  private static long startTicks(long pid) {
    try {
      String stat = Files.readString(Path.of("/proc/" + pid + "/stat"));
      // The name, field 2, may hold blanks and parentheses: fields are counted from its last parenthesis.
      return Long.parseLong(stat.substring(stat.lastIndexOf(')') + 2).split(" ")[19]);
    } catch (IOException e) {
      return -1;
    }
  }

  /**
   * The numbers in {@code /proc/self/ns/pid}, {@code pid:[4026531836]}, and in {@code /proc/self/ns/time} (man 7 namespaces): ids are those of a pid
   * namespace, and start times are shown as the reader's time namespace has them.
   */
  private static String namespaces() {
    try {
      return number(Path.of("/proc/self/ns/pid")) + (Files.exists(TIME_NAMESPACE) ? "." + number(TIME_NAMESPACE) : "");
    } catch (IOException e) {
      throw new TransportException("/proc/self/ns cannot be read: " + e + "; is /proc mounted?", e);
    }
  }

  private static String number(Path namespace) throws IOException {
    return Files.readSymbolicLink(namespace).toString().replaceAll("[^0-9]", "");
  }
}
