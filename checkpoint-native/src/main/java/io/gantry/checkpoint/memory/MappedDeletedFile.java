package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.image.deleted_file;
import io.gantry.checkpoint.image.mapped_file;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.procfs.ProcText;
import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * A file that is mapped, or run, and has no name any more.
 *
 * @param device {@code st_dev} of it
 * @param inode {@code st_ino}
 * @param pid a process that has it, as the host counts
 * @param link where in {@code /proc/PID} it can be opened
 * @param name the name it had
 * @param size its length in bytes when it was looked at
 */
public record MappedDeletedFile(long device, long inode, int pid, String link, String name, long size) {
  /** Most entries of a directory that are looked at for another name. */
  private static final int ENTRIES_MAX = 10_000;

  /** Whether it was made by {@code O_TMPFILE}: then the kernel calls it by its inode number ({@code fs/dcache.c}, {@code d_mark_tmpfile}). */
  public boolean temporary() {
    return name.substring(name.lastIndexOf('/') + 1).matches("#[0-9]+");
  }

  mapped_file toEntry(int number) {
    String directory = name.substring(0, name.lastIndexOf('/') + 1);
    return mapped_file.newBuilder()
        .setId(number)
        .setName(name)
        .setDeleted(
            deleted_file.newBuilder()
                .setDev(device)
                .setIno(inode)
                .setSize(size)
                .setTemporary(temporary())
                .setDirectoryGone(FileStatus.of("/proc/" + pid + "/root" + directory).isEmpty()))
        .build();
  }

  /** The name without the kernel's remark. */
  static String withoutRemark(String name) {
    return name.substring(0, name.length() - AddressSpaceReader.DELETED.length());
  }

  /**
   * A name that leads to a file whose own ends with the kernel's remark: that may be part of it, or the file has another one in the same directory.
   *
   * @param name as {@code /proc/PID/maps} has it
   */
  static Optional<String> findName(int pid, FileStatus status, String name) {
    String root = "/proc/" + pid + "/root";
    if (status.links() == 0) {
      return Optional.empty();
    }
    if (leadsTo(status, root + name)) {
      return Optional.of(name);
    }
    String directory = name.substring(0, name.lastIndexOf('/') + 1);
    int looked = 0;
    try (var entries = Files.newDirectoryStream(Path.of(root + directory))) {
      for (var entry : entries) {
        if (leadsTo(status, entry.toString())) {
          return Optional.of(directory + entry.getFileName());
        }
        if (++looked == ENTRIES_MAX) {
          break;
        }
      }
    } catch (IOException | DirectoryIteratorException unreadable) {
      // Then it has no name that we could find.
    }
    return Optional.empty();
  }

  static boolean leadsTo(FileStatus status, String path) {
    return FileStatus.ofLink(path).filter(status::sameInode).isPresent();
  }

  /** Why it cannot be carried; empty when it can, has a name after all, or is not mapped any more. */
  static Optional<String> obstacle(int pid, String link, String name) {
    String path = "/proc/" + pid + "/" + link;
    var status = FileStatus.of(path);
    if (status.isEmpty() || findName(pid, status.get(), name).isPresent()) {
      return Optional.empty();
    }
    String lost = withoutRemark(name);
    if (status.get().type() != FileStatus.S_IFREG || !isMounted(pid, path)) {
      return Optional.of("is " + lost + ", which lives in the kernel only and cannot be carried");
    }
    return status.get().links() == 0
        ? Optional.empty()
        : Optional.of(
            "is a file whose name %s was removed, and none of its %d other names is in that directory; link it there again"
                .formatted(lost, status.get().links()));
  }

  /** Whether it lies on a mount that the process can see, not on one that is the kernel's own. */
  private static boolean isMounted(int pid, String path) {
    int fd = Fd.tryOpen(path, Fd.O_PATH | Fd.O_CLOEXEC, 0);
    if (fd < 0) {
      return true;
    }
    try {
      var mount = ProcText.read("/proc/self/fdinfo/" + fd).lines().filter(line -> line.startsWith("mnt_id:")).findFirst();
      var number = mount.orElseThrow(() -> new IOException("fdinfo has no mnt_id")).substring("mnt_id:".length()).strip();
      return ProcText.read("/proc/" + pid + "/mountinfo").lines().anyMatch(line -> line.startsWith(number + " "));
    } catch (IOException ended) {
      return true;
    } finally {
      Fd.close(fd);
    }
  }
}
