package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.fs_entry;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.tracee.CallBatch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Working directory, root directory and umask of a process. */
final class FileSystemState {
  private FileSystemState() {}

  static fs_entry capture(int pid) throws IOException {
    return fs_entry.newBuilder()
        .setCwdId(0)
        .setRootId(0)
        .setUmask(Integer.parseInt(TaskStatus.ofProcess(pid).text("Umask"), 8))
        .setCwdPath(directory(pid, "cwd"))
        .setRootPath(directory(pid, "root"))
        .build();
  }

  private static String directory(int pid, String link) throws IOException {
    String path = Files.readSymbolicLink(Path.of("/proc/" + pid + "/" + link)).toString();
    if (path.endsWith(" (deleted)")) {
      throw new CheckpointException(
          "The %s directory of process %d was deleted (%s); let the program change to another one"
              .formatted(link.equals("cwd") ? "working" : "root", pid, path));
    }
    return path;
  }

  /** Adds the calls; both paths count from the root of the mount namespace, so the root changes last. */
  static void restore(CallBatch batch, fs_entry fs) {
    batch.call("chdir(\"" + fs.getCwdPath() + "\")", SyscallNumber.CHDIR, batch.string(fs.getCwdPath()));
    if (!fs.getRootPath().equals("/")) {
      batch.call("chroot(\"" + fs.getRootPath() + "\")", SyscallNumber.CHROOT, batch.string(fs.getRootPath()));
    }
    batch.call("umask", SyscallNumber.UMASK, fs.getUmask());
  }
}
