package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import java.util.List;

/** What {@code O_PATH} opens: a place in the file system, whatever kind of file is there; of a symbolic link, the link itself. */
final class PathDescriptor implements FileKind {
  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "O_PATH descriptor";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    boolean unnamed = seen.status().links() == 0 && (seen.status().type() == FileStatus.S_IFREG || seen.status().type() == FileStatus.S_IFDIR);
    return seen.isPath() && (seen.info().statusFlags() & Fd.O_PATH) != 0 && !unnamed;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return PathFile.obstacles(seen, inventory);
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    return PathFile.capture(id, seen, 0, copy, session);
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.REG && (file.getReg().getFlags() & Fd.O_PATH) != 0 && !file.getReg().hasGhostIno();
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    PathFile.recreate(file, home, recreation);
  }
}
