package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.mqueue_file_entry;
import io.gantry.checkpoint.ipc.ContainerIpc;
import io.gantry.checkpoint.ipc.IpcArrival;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.FileSystemType;
import io.gantry.checkpoint.linux.PosixQueue;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.util.List;

/** An open {@code mq_open(3)} queue. The queue itself is the ipc namespace's, see {@link ContainerIpc}. */
final class MessageQueue implements FileKind {
  /** The size that every queue's file has ({@code FILENT_SIZE}, {@code ipc/mqueue.c}), so that few files need a closer look. */
  private static final int FILE_BYTES = 80;

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "POSIX message queue";
  }

  @Override
  public String how() {
    return "is made again with its messages, attributes and who is told of the next one";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return is(seen, copy);
  }

  static boolean is(SeenDescriptor seen, int copy) {
    return seen.isPath()
        && seen.status().type() == FileStatus.S_IFREG
        && seen.status().size() == FILE_BYTES
        && FileSystemType.of(copy) == FileSystemType.MQUEUE;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    if (!ContainerIpc.isOwn(seen.process().pid())) {
      return List.of("it is a queue of the host's ipc namespace, which others may use; in a container queues are carried");
    }
    int queue = PosixQueue.open("/proc/self/fd/" + copy);
    try {
      var told = PosixQueue.notification(queue);
      if (told.pid() != 0 && told.how() == PosixQueue.Notification.THREAD) {
        return List.of(
            "process " + told.pid() + " is told of the next message by a thread (mq_notify with SIGEV_THREAD), whose function the kernel shows nobody;"
                + " let it use SIGEV_SIGNAL");
      }
      if (told.actsAtOnce()) {
        return List.of(
            "process " + told.pid() + " is told of the next message by signal " + told.signal() + " (mq_notify), which ends, stops or continues it, so that it"
                + " cannot be found out what else was asked for");
      }
      if (told.pid() != 0 && inventory.nsId(told.pid()).isEmpty()) {
        return List.of("process " + told.pid() + ", which is not part of the container, is told of the next message (mq_notify)");
      }
      return List.of();
    } finally {
      Fd.close(queue);
    }
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    session.messageQueue(seen);
    var entry =
        mqueue_file_entry.newBuilder()
            .setId(id)
            .setFlags(seen.info().statusFlags())
            .setFown(session.owner(copy))
            .setQueue(seen.status().inode())
            .setPos(seen.info().position());
    if (seen.status().links() != 0) {
      entry.setName(seen.link().substring(seen.link().lastIndexOf('/') + 1));
    }
    return file_entry.newBuilder().setType(fd_types.MQUEUE).setId(id).setMqueue(entry).build();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.MQUEUE;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    var entry = file.getMqueue();
    var name = entry.hasName() ? entry.getName() : IpcArrival.nameMeanwhile(entry.getQueue());
    home.need(4, name.length() * 3 + 16);
    var opened = home.call("mq_open(\"/" + name + "\")", SyscallNumber.MQ_OPEN, home.path(name), entry.getFlags() & ~Fd.O_ASYNC, 0, 0);
    if (entry.getPos() != 0) {
      home.call("lseek(message queue)", SyscallNumber.LSEEK, 0, entry.getPos(), Fd.SEEK_SET).link(0, opened);
    }
    home.park(opened, recreation.slot(file.getId()));
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    int flags = file.getMqueue().getFlags();
    return (flags & Fd.O_ASYNC) != 0 ? flags & ~Fd.O_RDWR & ~Fd.O_WRONLY : 0;
  }
}
