package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.fifo_entry;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import java.util.List;

/** A named FIFO: found again by its path, filled with what lay in it. */
final class Fifo implements FileKind {
  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "FIFO";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isPath() && seen.status().type() == FileStatus.S_IFIFO && (seen.info().statusFlags() & Fd.O_PATH) == 0;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return PathFile.obstacles(seen, inventory);
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    int pipeId = session.pipeId(seen.status().inode());
    Pipe.content(pipeId, seen, copy, session);
    int path = session.freshId();
    session.add(PathFile.capture(path, seen, 0, copy, session));
    return file_entry.newBuilder()
        .setType(fd_types.FIFO)
        .setId(id)
        .setFifo(fifo_entry.newBuilder().setId(id).setPipeId(pipeId).setRegfId(path))
        .build();
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
    PathFile.check(path, home);
    // Opened both ways first: no later opening of one end then waits for the other.
    int bothWays = recreation.freshSlot();
    home.open(path.getName(), Fd.O_RDWR, bothWays);
    int pipeId = file.getFifo().getPipeId();
    recreation.pipeContent(pipeId).ifPresent(content -> Pipe.resize(content, bothWays, home));
    for (var member : members) {
      var opened = recreation.file(member.getFifo().getRegfId());
      if (opened.getReg().getName().isEmpty()) {
        throw new CheckpointException("the image has a FIFO (id " + member.getId() + ") without a path");
      }
      home.open(opened.getReg().getName(), opened.getReg().getFlags() & ~Fd.O_ASYNC, recreation.slot(member.getId()));
    }
    recreation.fillPipeLater(pipeId, home, bothWays);
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return PathFile.lateFlags(recreation.file(file.getFifo().getRegfId()));
  }
}
