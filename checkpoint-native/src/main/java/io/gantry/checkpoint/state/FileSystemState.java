package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.fs_entry;
import io.gantry.checkpoint.image.ghost_directory;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.tracee.CallBatch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** Working directory, root directory and umask of a process, or of a thread that has its own. */
final class FileSystemState {
  /** What the kernel adds to the name ({@code man 5 proc_pid_cwd}). */
  private static final String DELETED = " (deleted)";

  private FileSystemState() {}

  /** @param status its own */
  static fs_entry capture(int pid, TaskStatus status) throws IOException {
    return capture("/proc/" + pid, status);
  }

  static fs_entry captureThread(int pid, int tid) throws IOException {
    return capture("/proc/" + pid + "/task/" + tid, TaskStatus.ofThread(pid, tid));
  }

  /** @param task its directory in {@code /proc} */
  private static fs_entry capture(String task, TaskStatus status) throws IOException {
    var entry = fs_entry.newBuilder();
    removedDirectory(task).ifPresent(entry::setCwdGhost);
    return entry
        .setCwdId(0)
        .setRootId(0)
        .setUmask(Integer.parseInt(status.text("Umask"), 8))
        .setCwdPath(cwdPath(task, entry.hasCwdGhost()))
        .setRootPath(root(task))
        .build();
  }

  private static String cwdPath(String task, boolean removed) throws IOException {
    String path = Files.readSymbolicLink(Path.of(task + "/cwd")).toString();
    return removed ? path.substring(0, path.length() - DELETED.length()) : path;
  }

  private static Optional<ghost_directory> removedDirectory(String task) throws IOException {
    String link = task + "/cwd";
    if (!Files.readSymbolicLink(Path.of(link)).toString().endsWith(DELETED)) {
      return Optional.empty();
    }
    return FileStatus.of(link)
        // Some file systems leave a removed directory the link from itself; others count no links of directories, and "x (deleted)" may be a name.
        .filter(status -> status.links() <= 1 && !FileStatus.of(task + "/root" + link(link)).filter(status::sameInode).isPresent())
        .map(
            status ->
                ghost_directory.newBuilder()
                    .setDev(status.device())
                    .setIno(status.inode())
                    .setMode(status.mode())
                    .setUid(status.uid())
                    .setGid(status.gid())
                    .build());
  }

  private static String link(String link) {
    try {
      return Files.readSymbolicLink(Path.of(link)).toString();
    } catch (IOException gone) {
      return "";
    }
  }

  private static String root(String task) throws IOException {
    String path = Files.readSymbolicLink(Path.of(task + "/root")).toString();
    if (path.endsWith(DELETED)) {
      throw new CheckpointException(
          "The root directory of %s was deleted (%s); end it and start it with another one".formatted(task, path));
    }
    return path;
  }

  /** Adds the calls; both paths count from the root of the mount namespace, so the root changes last. Who is to be in a removed directory is there already. */
  static void restore(CallBatch batch, fs_entry fs) {
    if (!fs.hasCwdGhost()) {
      batch.call("chdir(\"" + fs.getCwdPath() + "\")", SyscallNumber.CHDIR, batch.string(fs.getCwdPath()));
    }
    if (!fs.getRootPath().equals("/")) {
      batch.call("chroot(\"" + fs.getRootPath() + "\")", SyscallNumber.CHROOT, batch.string(fs.getRootPath()));
    }
    batch.call("umask", SyscallNumber.UMASK, fs.getUmask());
  }
}
