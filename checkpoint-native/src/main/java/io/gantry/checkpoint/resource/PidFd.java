package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.pidfd_entry;
import io.gantry.checkpoint.image.pidfs_attr_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.PidNamespace;
import io.gantry.checkpoint.linux.Pidfd;
import io.gantry.checkpoint.linux.PosixSpawn;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Wait;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.user.UserNamespaces;
import java.nio.file.NoSuchFileException;
import java.util.List;
import java.util.OptionalInt;

/**
 * {@code pidfd_open(2)}: a process or thread of the container, alive, ended, or gone. A process that is gone cannot be had again, so the copy's
 * descriptor is of a process that ended in the same way and is gone as well.
 */
final class PidFd implements FileKind {
  private static final int GONE = -1;

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "pidfd";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    // The second before 6.14.
    return seen.isAnonymous("[pidfd]") || seen.link().startsWith("pidfd:[");
  }

  private static int hostPid(SeenDescriptor seen) {
    return Integer.parseInt(seen.info().required("Pid"));
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    int pid = hostPid(seen);
    if (pid != GONE && isThreadOfNested(pid, inventory)) {
      return List.of(
          "it means thread " + pid + " of a process that has made a user namespace, whose threads are made after all files");
    }
    return pid == GONE || inventory.nsIdOfMember(pid).isPresent()
        ? List.of()
        : List.of("it means process " + (pid == 0 ? "of another pid namespace" : pid) + ", which is not part of the container");
  }

  private static boolean isThreadOfNested(int tid, Inventory inventory) {
    try {
      int process = (int) TaskStatus.ofProcess(tid).number("Tgid");
      if (process == tid) {
        return false;
      }
      var pids = inventory.processes().stream().map(ProcessRef::pid).toList();
      try (var users = UserNamespaces.of(pids.getFirst(), pids)) {
        return !users.isContainers(tid);
      }
    } catch (NoSuchFileException | KernelException gone) {
      return false;
    }
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    int pid = hostPid(seen);
    var entry =
        pidfd_entry.newBuilder()
            .setId(id)
            .setIno(seen.status().inode())
            .setFlags(seen.info().statusFlags())
            .setNspid(pid == GONE ? GONE : session.inventory().nsIdOfMember(pid).orElse(GONE))
            .setFown(session.owner(copy));
    if (pid == GONE) {
      var attributes = pidfs_attr_entry.newBuilder();
      Pidfd.endOf(copy).ifPresent(attributes::setExitCode);
      entry.setAttr(attributes);
    }
    return file_entry.newBuilder().setType(fd_types.PIDFD).setId(id).setPidfd(entry).build();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.PIDFD;
  }

  @Override
  public OptionalInt sends(file_entry file, Recreation recreation) {
    return file.getPidfd().getNspid() == GONE ? OptionalInt.of(recreation.goneProcess(file)) : OptionalInt.empty();
  }

  private static int openFlags(pidfd_entry entry) {
    return entry.getFlags() & (Fd.O_NONBLOCK | Pidfd.THREAD);
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    int pid = file.getPidfd().getNspid();
    int slot = recreation.slot(file.getId());
    home.need(3, 0);
    if (pid == GONE) {
      home.call("dup3(descriptor of a process that is gone)", SyscallNumber.DUP3, recreation.sentSlot(file, home), slot, Fd.O_CLOEXEC);
    } else {
      home.park(home.call("pidfd_open(" + pid + ")", SyscallNumber.PIDFD_OPEN, pid, openFlags(file.getPidfd())), slot);
    }
  }

  /**
   * One descriptor of ours for each of these files, which all mean one process that is gone; they are the caller's.
   *
   * @param stub a process of the container: sending a signal is refused in another way when the namespace is another
   */
  static List<Integer> ofGoneProcess(List<file_entry> files, int stub) {
    int end = files.getFirst().getPidfd().getAttr().getExitCode();
    int signal = end & 0x7f;
    var how = signal == 0 ? "exit " + (end >> 8 & 0xff) : "kill -" + signal + " $$";
    try (var namespace = PidNamespace.of(stub)) {
      return namespace.callForChildren(
          () -> {
            int pid = PosixSpawn.spawn("/bin/sh", List.of("sh", "-c", how));
            try {
              return files.stream().map(file -> Pidfd.open(pid, openFlags(file.getPidfd()))).toList();
            } finally {
              Wait.block(pid);
            }
          });
    }
  }
}
