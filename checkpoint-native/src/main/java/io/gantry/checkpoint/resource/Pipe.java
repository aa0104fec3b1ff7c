package io.gantry.checkpoint.resource;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.pipe_content_entry;
import io.gantry.checkpoint.image.pipe_data_entry;
import io.gantry.checkpoint.image.pipe_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.PipeBuffer;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.util.List;

/**
 * {@code pipe(2)}: its ends, of which any may be closed, its capacity and what lies in it, which is copied
 * without being consumed.
 */
final class Pipe implements FileKind {
  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "pipe";
  }

  @Override
  public String how() {
    return "is made again with its size and what is in it";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.link().startsWith("pipe:[");
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return List.of();
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    int pipeId = session.pipeId(seen.status().inode());
    content(pipeId, seen, copy, session);
    return file_entry.newBuilder()
        .setType(fd_types.PIPE)
        .setId(id)
        .setPipe(
            pipe_entry.newBuilder()
                .setId(id)
                .setPipeId(pipeId)
                .setFlags(seen.info().statusFlags())
                .setFown(session.owner(copy)))
        .build();
  }

  /** Copies what lies in a pipe or FIFO, once, through a descriptor that may read. */
  static void content(int pipeId, SeenDescriptor seen, int copy, CaptureSession session) {
    int access = seen.info().statusFlags() & 3;
    boolean readable = access == Fd.O_RDONLY || access == Fd.O_RDWR;
    // Without any read end in the container nobody can ever see the content.
    if (session.hasPipeContent(pipeId) || (!readable && hasReader(seen, session))) {
      return;
    }
    var segments = readable ? PipeBuffer.copy(copy) : List.<byte[]>of();
    session.pipeContent(
        pipe_content_entry.newBuilder()
            .setHeader(
                pipe_data_entry.newBuilder()
                    .setPipeId(pipeId)
                    .setBytes(segments.stream().mapToInt(segment -> segment.length).sum())
                    .setSize(PipeBuffer.capacity(copy)))
            .addAllSegment(segments.stream().map(ByteString::copyFrom).toList())
            .build());
  }

  private static boolean hasReader(SeenDescriptor seen, CaptureSession session) {
    return session.inventory().withLink(seen.link()).stream()
        .anyMatch(other -> (other.info().statusFlags() & 3) != Fd.O_WRONLY && other.status().sameInode(seen.status()));
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.PIPE;
  }

  @Override
  public String group(file_entry file) {
    return "pipe " + file.getPipe().getPipeId();
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var members = recreation.groupOf(file);
    if (members.getFirst().getId() != file.getId()) {
      return;
    }
    int pipeId = file.getPipe().getPipeId();
    int readSlot = firstWith(members, Fd.O_RDONLY, recreation);
    int writeSlot = firstWith(members, Fd.O_WRONLY, recreation);
    home.need(6, 16);
    // The stub has no descriptor below the slots, so the two ends are 0 and 1.
    home.call("pipe2()", SyscallNumber.PIPE2, home.reserve(8), Fd.O_CLOEXEC);
    home.call("dup3(read end)", SyscallNumber.DUP3, 0, readSlot, Fd.O_CLOEXEC);
    home.call("dup3(write end)", SyscallNumber.DUP3, 1, writeSlot, Fd.O_CLOEXEC);
    home.call("close(read end)", SyscallNumber.CLOSE, 0);
    home.call("close(write end)", SyscallNumber.CLOSE, 1);
    recreation.pipeContent(pipeId).ifPresent(content -> resize(content, writeSlot, home));
    for (var member : members) {
      int slot = recreation.slot(member.getId());
      if (slot != readSlot && slot != writeSlot) {
        home.openAgain(readSlot, member.getPipe().getFlags(), slot);
      }
    }
    recreation.fillPipeLater(pipeId, home, writeSlot);
  }

  /** Sets the capacity, which content must fit into. */
  static void resize(pipe_content_entry content, int writeSlot, StubDescriptors home) {
    if (content.getHeader().hasSize()) {
      home.need(1, 0);
      home.call(
          "fcntl(F_SETPIPE_SZ, " + content.getHeader().getSize() + ")",
          SyscallNumber.FCNTL,
          writeSlot,
          Fd.F_SETPIPE_SZ,
          content.getHeader().getSize());
    }
  }

  private static int firstWith(List<file_entry> members, int access, Recreation recreation) {
    for (var member : members) {
      if ((member.getPipe().getFlags() & 3) == access) {
        return recreation.slot(member.getId());
      }
    }
    // That end is closed: it is made, perhaps used to put the content in, and closed with all slots.
    return recreation.freshSlot();
  }

  /**
   * Puts content into a pipe through our own copy of its write end.
   *
   * @param writeEnd open for writing, blocking or not; its status flags are set at the end by others
   */
  static void fill(pipe_content_entry content, int writeEnd) {
    if (PipeBuffer.bytesWaiting(writeEnd) > 0) {
      checkSame(content, writeEnd);
      return;
    }
    boolean packets = content.getSegmentCount() > 1;
    long flags = Fd.fcntl(writeEnd, Fd.F_GETFL, 0) & ~(Fd.O_DIRECT | Fd.O_NONBLOCK);
    // Never block on a pipe that is too small after all: the answer must be an error.
    Fd.fcntl(writeEnd, Fd.F_SETFL, flags | Fd.O_NONBLOCK | (packets ? Fd.O_DIRECT : 0));
    for (var segment : content.getSegmentList()) {
      Fd.write(writeEnd, segment.toByteArray());
    }
    Fd.fcntl(writeEnd, Fd.F_SETFL, flags);
  }

  /** A FIFO that both hosts reach is one and the same while the original still has it open: its content is there already. */
  private static void checkSame(pipe_content_entry content, int bothWays) {
    var there = ByteString.copyFrom(PipeBuffer.copy(bothWays).stream().map(ByteString::copyFrom).toList());
    if (!there.equals(ByteString.copyFrom(content.getSegmentList()))) {
      throw new CheckpointException(
          "a FIFO of the container holds " + there.size() + " bytes on this host already, which are not the container's");
    }
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getPipe().getFlags() & ~3;
  }
}
