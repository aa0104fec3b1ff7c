package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.util.List;
import java.util.OptionalInt;

/** A file that is open but has no name any more. Its content travels; see {@link FileContentSender}. */
final class DeletedFile implements FileKind {
  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "deleted file";
  }

  @Override
  public String how() {
    return "its content travels, and it stays deleted";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return is(seen);
  }

  static boolean is(SeenDescriptor seen) {
    return seen.isPath()
        && seen.status().type() == FileStatus.S_IFREG
        && seen.status().links() == 0
        && seen.link().endsWith(SeenDescriptor.DELETED);
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return inventory.isMounted(seen.info().required("mnt_id"))
        ? List.of()
        : List.of("it is " + seen.pathWithoutRemark() + ", a file that lives in the kernel only and cannot be carried");
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var entry = PathFile.entry(id, seen, seen.pathWithoutRemark(), seen.info().position(), copy, session);
    entry.getRegBuilder().setGhostDev(seen.status().device()).setGhostIno(seen.status().inode());
    if (!session.inventory().isInOwnShm(seen.status())) {
      session.deleted(seen);
    }
    return entry.build();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.REG && file.getReg().hasGhostIno() && (file.getReg().getMode() & FileStatus.S_IFMT) == FileStatus.S_IFREG;
  }

  @Override
  public OptionalInt sends(file_entry file, Recreation recreation) {
    return OptionalInt.of(recreation.receivedFile(new FileIdentity(file.getReg().getGhostDev(), file.getReg().getGhostIno()),
        file));
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var entry = file.getReg();
    int slot = recreation.slot(file.getId());
    home.openAgain(recreation.sentSlot(file, home), entry.getFlags() & ~(Fd.O_ASYNC | Fd.O_DIRECTORY), slot);
    if (entry.getPos() != 0) {
      home.need(1, 0);
      home.call("lseek(deleted file)", SyscallNumber.LSEEK, slot, entry.getPos(), Fd.SEEK_SET);
    }
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return PathFile.lateFlags(file);
  }
}
