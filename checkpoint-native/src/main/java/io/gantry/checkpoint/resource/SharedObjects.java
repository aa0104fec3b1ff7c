package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.memfd_inode_entry;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Memfd;
import io.gantry.checkpoint.linux.OwnFile;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;

/**
 * Memory files that are open in a container, mapped or not: their pages have to be carried as shared objects, and their other
 * side has to exist before the first page comes. Any thread.
 */
public final class SharedObjects {
  private SharedObjects() {}

  /**
   * One memory file.
   *
   * @param identity device and inode on the source
   * @param pid a process that has it open, as the host counts
   * @param fd its descriptor there; {@code /proc/PID/fd/FD} can be opened for reading the pages
   * @param entry what {@link #create} needs
   */
  public record SharedObject(FileIdentity identity, int pid, int fd, memfd_inode_entry entry) {}

  /** Every memory file that is open in the processes, each once. The processes may be running. */
  public static List<SharedObject> list(List<ProcessRef> processes) {
    if (processes.isEmpty()) {
      return List.of();
    }
    try (var inventory = Inventory.take(processes)) {
      var found = new LinkedHashMap<FileIdentity, SharedObject>();
      for (var seen : inventory.descriptors()) {
        var identity = new FileIdentity(seen.status().device(), seen.status().inode());
        if (MemoryFile.is(seen) && !found.containsKey(identity)) {
          describe(seen, inventory, identity, found);
        }
      }
      return new ArrayList<>(found.values());
    }
  }

  private static void describe(
      SeenDescriptor seen, Inventory inventory, FileIdentity identity, LinkedHashMap<FileIdentity, SharedObject> found) {
    int copy;
    try {
      copy = inventory.take(seen);
    } catch (KernelException e) {
      if (Inventory.isGone(e)) {
        return;
      }
      throw e;
    }
    try {
      var entry = MemoryFile.describe(found.size() + 1, seen, copy);
      found.put(identity, new SharedObject(identity, seen.process().pid(), seen.fd(), entry));
    } finally {
      Fd.close(copy);
    }
  }

  /** Makes an empty memory file of the right name, size, owner and mode, not sealed yet; returns our descriptor of it. */
  public static int create(memfd_inode_entry entry) {
    int fd = Memfd.create(entry.getName(), Memfd.CLOEXEC | Memfd.ALLOW_SEALING | Memfd.EXEC);
    try {
      OwnFile.resize(fd, entry.getSize());
      OwnFile.setOwner(fd, entry.getUid(), entry.getGid());
      if (entry.hasMode()) {
        OwnFile.setMode(fd, entry.getMode() & 07777);
      }
      return fd;
    } catch (RuntimeException e) {
      Fd.close(fd);
      throw e;
    }
  }

  /** Sets the final size and the seals. Every page is in place, and nobody has mapped it writable unless the seals allow that. */
  static void seal(int fd, memfd_inode_entry entry) {
    OwnFile.resize(fd, entry.getSize());
    // A file that is mapped as well may have its seals already, and the seal against seals forbids to set even the same again.
    if (entry.getSeals() == 0 || Fd.fcntl(fd, Fd.F_GET_SEALS, 0) == entry.getSeals()) {
      return;
    }
    long result = Fd.fcntl(fd, Fd.F_ADD_SEALS, entry.getSeals());
    if (result < 0) {
      throw new CheckpointException(
          "sealing memory file %s with %#x: the kernel answered %s"
              .formatted(entry.getName(), entry.getSeals(), Errno.describe((int) -result)));
    }
  }
}
