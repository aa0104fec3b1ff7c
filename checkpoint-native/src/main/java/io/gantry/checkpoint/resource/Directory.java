package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import java.util.List;
import java.util.OptionalInt;

/** An open directory and how far it was read. */
final class Directory implements FileKind {
  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "directory";
  }

  @Override
  public String how() {
    return "is opened again by its path, at the same position";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isPath() && seen.status().type() == FileStatus.S_IFDIR;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return isRemoved(seen) ? List.of() : PathFile.obstacles(seen, inventory);
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    return isRemoved(seen)
        ? PathFile.removed(id, seen, 0, copy, session)
        : PathFile.capture(id, seen, seen.info().position(), copy, session);
  }

  /** Some file systems leave a removed directory the link from itself. */
  private static boolean isRemoved(SeenDescriptor seen) {
    return seen.status().links() <= 1 && seen.link().endsWith(SeenDescriptor.DELETED);
  }

  @Override
  public OptionalInt sends(file_entry file, Recreation recreation) {
    return file.getReg().hasGhostIno() ? OptionalInt.of(recreation.removedDirectory(file.getReg())) : OptionalInt.empty();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.REG && (file.getReg().getMode() & FileStatus.S_IFMT) == FileStatus.S_IFDIR;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    if (file.getReg().hasGhostIno()) {
      home.openAgain(recreation.sentSlot(file, home), file.getReg().getFlags() & ~Fd.O_ASYNC, recreation.slot(file.getId()));
    } else {
      PathFile.recreate(file, home, recreation);
    }
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return PathFile.lateFlags(file);
  }
}
