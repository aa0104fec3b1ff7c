package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fh_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileHandle;
import io.gantry.checkpoint.linux.FileStatus;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Finds the paths of files that marks of inotify and fanotify name by device, inode number and file handle. Where the handle cannot be opened
 * (overlayfs), or the kernel has forgotten the name, the file system is searched, up to {@link #SEARCH_MAX} files. Close it. One thread.
 */
final class WatchedFiles implements AutoCloseable {
  /** Files that are looked at in one search; about 5 µs each. */
  static final int SEARCH_MAX = 20_000;

  /** A file handle in an image has at least this many words. */
  private static final int HANDLE_WORDS_MIN = 16;

  /**
   * A line of {@code /proc/PID/mountinfo}.
   *
   * @param device as {@code major:minor}
   * @param point where it is mounted
   */
  record Mounted(int id, String device, String point) {}

  private final String root;
  private final List<Mounted> mounts = new ArrayList<>();
  private final Map<Mounted, Integer> anchors = new HashMap<>();

  /** @param root {@code /proc/PID/root} of a process of the container */
  WatchedFiles(String root) {
    this.root = root;
    var file = Path.of(root).resolveSibling("mountinfo");
    try (var lines = Files.lines(file, StandardCharsets.UTF_8)) {
      lines.forEach(
          line -> {
            var words = line.split(" ", 6);
            mounts.add(new Mounted(Integer.parseInt(words[0]), words[2], unescape(words[4])));
          });
    } catch (IOException | UncheckedIOException gone) {
      // Then nothing can be found, which is what the caller reports.
      mounts.clear();
    }
  }

  /** Octal escapes of white space and backslash ({@code man 5 proc_pid_mountinfo}). */
  private static String unescape(String text) {
    return text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
  }

  /** The mount with this number; empty when the container cannot see it. */
  Optional<Mounted> mount(int id) {
    return mounts.stream().filter(mount -> mount.id == id).findFirst();
  }

  /** Any mount of a file system, given as the kernel counts devices. */
  Optional<Mounted> mountOf(int device) {
    return mounts.stream().filter(mount -> mount.device.equals(text(device))).findFirst();
  }

  /** The kernel's own encoding has the minor number in the lower 20 bits ({@code linux/kdev_t.h}). */
  private static String text(int device) {
    return (device >>> 20) + ":" + (device & 0xfffff);
  }

  /**
   * What a mark's line of fdinfo says about its file.
   *
   * @param words {@code key:value}, all numbers in base 16
   */
  fh_entry find(Map<String, String> words) {
    int bytes = Integer.parseInt(words.getOrDefault("fhandle-bytes", "0"), 16);
    int type = Integer.parseUnsignedInt(words.getOrDefault("fhandle-type", "0"), 16);
    var handle = HexFormat.of().parseHex(words.getOrDefault("f_handle", ""));
    var found = fh_entry.newBuilder().setBytes(bytes).setType(type);
    for (int word = 0; word < Math.max(HANDLE_WORDS_MIN, (handle.length + 7) / 8); word++) {
      long value = 0;
      for (int at = Math.min(handle.length, word * 8 + 8) - 1; at >= word * 8; at--) {
        value = value << 8 | handle[at] & 0xff;
      }
      found.addHandle(value);
    }
    int device = Integer.parseUnsignedInt(words.get("sdev"), 16);
    long inode = Long.parseUnsignedLong(words.get("ino"), 16);
    path(device, inode, type, handle).ifPresent(found::setPath);
    return found.build();
  }

  private Optional<String> path(int device, long inode, int type, byte[] handle) {
    var here = mounts.stream().filter(mount -> mount.device.equals(text(device))).toList();
    for (var mount : here) {
      int anchor =
          anchors.computeIfAbsent(
              mount, m -> Fd.tryOpen(root + m.point, Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_NONBLOCK | Fd.O_CLOEXEC, 0));
      int file = anchor < 0 ? anchor : FileHandle.open(anchor, type, handle);
      if (file >= 0) {
        try {
          var status = FileStatus.of(file);
          var path = Files.readSymbolicLink(Path.of("/proc/self/fd/" + file)).toString();
          if (leadsTo(path, inode, status)) {
            return Optional.of(path);
          }
          if (status.links() == 0) {
            return Optional.empty();
          }
        } catch (IOException unreadable) {
          continue;
        } finally {
          Fd.close(file);
        }
      }
    }
    return here.stream().map(mount -> search(mount, inode)).flatMap(Optional::stream).findFirst();
  }

  private boolean leadsTo(String path, long inode, FileStatus file) {
    return file.inode() == inode && FileStatus.ofLink(root + path).filter(file::sameInode).isPresent();
  }

  private Optional<String> search(Mounted mount, long inode) {
    var start = Path.of(root + mount.point);
    var device = FileStatus.ofLink(start.toString()).map(FileStatus::device);
    if (device.isEmpty()) {
      return Optional.empty();
    }
    var visitor =
        new SimpleFileVisitor<Path>() {
          private int seen;
          private Optional<Path> found = Optional.empty();

          private FileVisitResult look(Path path) {
            var status = FileStatus.ofLink(path.toString());
            if (status.filter(there -> there.inode() == inode).isPresent()) {
              found = Optional.of(path);
              return FileVisitResult.TERMINATE;
            }
            return ++seen < SEARCH_MAX ? FileVisitResult.CONTINUE : FileVisitResult.TERMINATE;
          }

          @Override
          public FileVisitResult preVisitDirectory(Path path, BasicFileAttributes attributes) {
            boolean other = FileStatus.ofLink(path.toString()).filter(there -> there.device() == device.get()).isEmpty();
            return other ? FileVisitResult.SKIP_SUBTREE : look(path);
          }

          @Override
          public FileVisitResult visitFile(Path path, BasicFileAttributes attributes) {
            return look(path);
          }

          @Override
          public FileVisitResult visitFileFailed(Path path, IOException gone) {
            return FileVisitResult.CONTINUE;
          }
        };
    try {
      Files.walkFileTree(start, visitor);
    } catch (IOException gone) {
      return Optional.empty();
    }
    return visitor.found.map(path -> path.toString().substring(root.length()));
  }

  @Override
  public void close() {
    anchors.values().stream().filter(anchor -> anchor >= 0).forEach(Fd::close);
    anchors.clear();
  }
}
