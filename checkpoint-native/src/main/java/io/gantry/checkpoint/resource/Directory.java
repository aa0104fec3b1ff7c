package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.FileStatus;
import java.util.List;

/** An open directory and how far it was read. */
final class Directory implements FileKind {
  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "directory";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isPath() && seen.status().type() == FileStatus.S_IFDIR;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return seen.status().links() == 0
        ? List.of("the directory " + seen.pathWithoutRemark() + " was removed while it is open")
        : PathFile.obstacles(seen, inventory);
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    return PathFile.capture(id, seen, seen.info().position(), copy, session);
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.REG && (file.getReg().getMode() & FileStatus.S_IFMT) == FileStatus.S_IFDIR;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    PathFile.recreate(file, home, recreation);
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return PathFile.lateFlags(file);
  }
}
