package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.fifo_entry;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import java.util.List;
import java.util.OptionalInt;

/** A named FIFO: found again by its path, or made anew when it has none any more, and filled with what lay in it. */
final class Fifo implements FileKind {
  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "FIFO";
  }

  @Override
  public String how() {
    return "is opened again by its path, with what is in it";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isPath() && seen.status().type() == FileStatus.S_IFIFO && (seen.info().statusFlags() & Fd.O_PATH) == 0;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return isRemoved(seen) ? List.of() : PathFile.obstacles(seen, inventory);
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    int pipeId = session.pipeId(seen.status().inode());
    Pipe.content(pipeId, seen, copy, session);
    int path = session.freshId();
    session.add(isRemoved(seen) ? PathFile.removed(path, seen, 0, copy, session) : PathFile.capture(path, seen, 0, copy, session));
    return file_entry.newBuilder()
        .setType(fd_types.FIFO)
        .setId(id)
        .setFifo(fifo_entry.newBuilder().setId(id).setPipeId(pipeId).setRegfId(path))
        .build();
  }

  private static boolean isRemoved(SeenDescriptor seen) {
    return seen.status().links() == 0 && seen.link().endsWith(SeenDescriptor.DELETED);
  }

  @Override
  public OptionalInt sends(file_entry file, Recreation recreation) {
    var path = recreation.file(file.getFifo().getRegfId()).getReg();
    return path.hasGhostIno() ? OptionalInt.of(recreation.removedFifo(path)) : OptionalInt.empty();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.FIFO;
  }

  @Override
  public String group(file_entry file) {
    return "pipe " + file.getFifo().getPipeId();
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var members = recreation.groupOf(file);
    if (members.getFirst().getId() != file.getId()) {
      return;
    }
    var path = recreation.file(file.getFifo().getRegfId()).getReg();
    boolean removed = path.hasGhostIno();
    // Opened both ways first: no later opening of one end then waits for the other.
    int bothWays = removed ? recreation.sentSlot(file, home) : recreation.freshSlot();
    if (!removed) {
      PathFile.check(path, home);
      home.open(path.getName(), Fd.O_RDWR, bothWays);
    }
    int pipeId = file.getFifo().getPipeId();
    recreation.pipeContent(pipeId).ifPresent(content -> Pipe.resize(content, bothWays, home));
    for (var member : members) {
      var opened = recreation.file(member.getFifo().getRegfId());
      if (opened.getReg().getName().isEmpty()) {
        throw new CheckpointException("the image has a FIFO (id " + member.getId() + ") without a path");
      }
      int flags = opened.getReg().getFlags() & ~Fd.O_ASYNC;
      if (removed) {
        home.openAgain(bothWays, flags, recreation.slot(member.getId()));
      } else {
        home.open(opened.getReg().getName(), flags, recreation.slot(member.getId()));
      }
    }
    recreation.fillPipeLater(pipeId, home, bothWays);
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return PathFile.lateFlags(recreation.file(file.getFifo().getRegfId()));
  }
}
