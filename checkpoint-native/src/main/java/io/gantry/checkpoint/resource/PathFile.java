package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.reg_file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.util.List;

/** What all files have in common that are found again by their path. */
final class PathFile {
  /** Bit that makes {@code O_TMPFILE} of {@code O_DIRECTORY}; the kernel leaves it in the status flags. */
  private static final int TMPFILE_BIT = Fd.O_TMPFILE & ~Fd.O_DIRECTORY;

  private PathFile() {}

  /** Whether it was made by {@code O_TMPFILE}; whether with {@code O_EXCL}, which forbids to give it a name, the kernel does not tell. */
  static boolean isTemporary(SeenDescriptor seen) {
    return (seen.info().statusFlags() & TMPFILE_BIT) != 0;
  }

  /** Why the path does not lead back to the open file; empty when it does. */
  static List<String> obstacles(SeenDescriptor seen, Inventory inventory) {
    if (inventory.otherName(seen).isPresent()) {
      return List.of();
    }
    if (seen.status().type() == FileStatus.S_IFREG && inventory.isOutside(seen)) {
      return FileStatus.ofLink(seen.link()).filter(seen.status()::sameInode).isPresent()
          ? List.of()
          : List.of("it lies outside the container, at " + seen.link() + ", where this host has another file or none");
    }
    var there = FileStatus.ofLink(inventory.root() + seen.link());
    if (there.isEmpty()) {
      return List.of(
          seen.status().links() > 0 && seen.link().endsWith(SeenDescriptor.DELETED)
              ? "its path " + seen.pathWithoutRemark() + " was removed, and none of its " + seen.status().links()
                  + " other names is in that directory; link it there again"
              : "its path " + seen.link() + " leads nowhere any more, and this kind of file cannot travel by itself");
    }
    return there.get().sameInode(seen.status())
        ? List.of()
        : List.of("its path " + seen.link() + " leads to another file now: it was replaced, or something was mounted over it");
  }

  /** @param position where the file offset is */
  static file_entry capture(int id, SeenDescriptor seen, long position, int copy, CaptureSession session) {
    var entry = entry(id, seen, session.inventory().otherName(seen).orElse(seen.link()), position, copy, session);
    if (seen.status().type() == FileStatus.S_IFREG && session.inventory().isOutside(seen)) {
      entry.getRegBuilder().setOutside(true);
    }
    return entry.build();
  }

  /** A file without a name that is made anew on the other side; its name is where it was. */
  static file_entry removed(int id, SeenDescriptor seen, long position, int copy, CaptureSession session) {
    var entry = entry(id, seen, seen.pathWithoutRemark(), position, copy, session);
    var status = seen.status();
    entry.getRegBuilder().setGhostDev(status.device()).setGhostIno(status.inode()).setGhostUid(status.uid()).setGhostGid(status.gid());
    return entry.build();
  }

  static file_entry.Builder entry(int id, SeenDescriptor seen, String name, long position, int copy, CaptureSession session) {
    var entry =
        reg_file_entry.newBuilder()
            .setId(id)
            .setFlags(seen.info().statusFlags() & ~TMPFILE_BIT)
            .setPos(position)
            .setFown(session.owner(copy))
            .setName(name)
            .setMode(seen.status().mode());
    if (seen.status().type() == FileStatus.S_IFREG) {
      entry.setSize(seen.status().size());
    } else if (seen.status().type() == FileStatus.S_IFCHR) {
      entry.setRdev(seen.status().rawDevice());
    }
    return file_entry.newBuilder().setType(fd_types.REG).setId(id).setReg(entry);
  }

  /** Looks whether the destination has the file, before anything opens it: opening the wrong thing could wait forever. */
  static void check(reg_file_entry file, StubDescriptors home) {
    var there =
        FileStatus.ofLink("/proc/" + home.pid() + "/root" + file.getName())
            .orElseThrow(
                () -> new CheckpointException("the container has " + file.getName()
                    + " open, which does not exist on this host"));
    if (file.hasMode() && file.getMode() != there.mode()) {
      throw new CheckpointException(
          "the container has %s open with type and mode 0%o; on this host they are 0%o"
              .formatted(file.getName(), file.getMode(), there.mode()));
    }
    if (file.hasRdev() && file.getRdev() != there.rawDevice()) {
      throw new CheckpointException(
          "the container has device %s open with number %#x; on this host it is %#x"
              .formatted(file.getName(), file.getRdev(), there.rawDevice()));
    }
    if (file.hasSize() && !RegularFile.isGenerated(file.getName()) && there.size() < file.getSize()) {
      throw new CheckpointException(
          "the container has %s open, which was %d bytes long when it stopped; on this host it has only %d"
              .formatted(file.getName(), file.getSize(), there.size()));
    }
  }

  /** Adds the calls that open it and set the file offset. */
  static void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var entry = file.getReg();
    int slot = recreation.slot(file.getId());
    if (entry.getOutside()) {
      home.need(1, 0);
      home.call("dup3(file of the host)", SyscallNumber.DUP3, recreation.sentSlot(file, home), slot, Fd.O_CLOEXEC);
    } else {
      check(entry, home);
      home.open(entry.getName(), entry.getFlags() & ~Fd.O_ASYNC, slot);
    }
    if (entry.getPos() != 0 && !RegularFile.isPositionedLast(file)) {
      home.need(1, 0);
      home.call(
          "lseek(\"" + entry.getName() + "\", " + entry.getPos() + ")", SyscallNumber.LSEEK, slot, entry.getPos(), Fd.SEEK_SET);
    }
  }

  static int lateFlags(file_entry file) {
    int flags = file.getReg().getFlags();
    return (flags & Fd.O_ASYNC) == 0 ? 0 : flags & ~3;
  }
}
