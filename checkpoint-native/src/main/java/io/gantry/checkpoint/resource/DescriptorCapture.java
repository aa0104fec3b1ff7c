package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.RefusedException;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.fdinfo_entry;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.file_lock_entry;
import io.gantry.checkpoint.image.process_descriptors_entry;
import io.gantry.checkpoint.ipc.ContainerIpc;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.NetworkThread;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * Describes all descriptors of a stopped container, from outside: {@code pidfd_getfd(2)} and {@code /proc/PID/fdinfo}.
 * Nothing is run
 * inside the processes and nothing is consumed. Any one thread.
 */
public final class DescriptorCapture {
  /** How {@code /proc/PID/fd} shows what {@code memfd_create(2)} has made. */
  private static final String MEMORY_FILE = "/memfd:";

  private DescriptorCapture() {}

  /**
   * What was found.
   *
   * @param state every open file once, and who has it under which number
   * @param deletedFiles files whose content has to be sent; see {@link FileContentSender#last}
   * @param locks those of {@code state}, with process ids as the host counts; see {@link LockHandover}
   * @param queues POSIX message queues, each once
   * @param memory descriptors of processes that may be of shared memory: memory files, and what lies in no directory any more
   */
  public record Captured(
      descriptors_entry state,
      List<DeletedFileRef> deletedFiles,
      List<file_lock_entry> locks,
      List<ContainerIpc.OpenQueue> queues,
      List<OpenMemory> memory) {}

  /** @param pid as the host counts; @param link what {@code /proc/PID/fd/N} points to */
  public record OpenMemory(int pid, int descriptor, String link) {}

  /**
   * A file that is open or mapped and has no name.
   *
   * @param identity names it in every message
   * @param pid a process that has it, as the host counts
   * @param link where in {@code /proc/PID} it can be opened
   * @param path the name it had
   * @param temporary whether it was made by {@code O_TMPFILE}
   */
  public record DeletedFileRef(FileIdentity identity, int pid, String link, String path, boolean temporary) {
    static DeletedFileRef of(FileIdentity identity, SeenDescriptor seen) {
      return new DeletedFileRef(identity, seen.process().pid(), "fd/" + seen.fd(), seen.pathWithoutRemark(), PathFile.isTemporary(seen));
    }
  }

  /**
   * @param processes all live processes of the container, parents before their children; zombies may be left out
   * @throws RefusedException when something cannot be carried after all; the container may simply run on
   */
  public static Captured capture(List<ProcessRef> processes) {
    if (processes.isEmpty()) {
      return new Captured(descriptors_entry.getDefaultInstance(), List.of(), List.of(), List.of(), List.of());
    }
    // Where the container's sockets are: what a fresh one has, who listens and who is connected is asked there.
    return NetworkThread.where(processes.getFirst().pid(), () -> captureHere(processes));
  }

  private static Captured captureHere(List<ProcessRef> processes) {
    try (var inventory = Inventory.take(processes)) {
      for (var process : processes) {
        if (!inventory.hasProcess(process)) {
          throw new CheckpointException("process " + process.pid() + " ended while its descriptors were being captured");
        }
      }
      inventory.standsStill();
      var files = inventory.openFiles();
      var session = new CaptureSession(inventory, files);
      return capture(inventory, files, session);
    }
  }

  private static Captured capture(Inventory inventory, List<OpenFile> files, CaptureSession session) {
    try (var messages = new MessagesInFlight(session)) {
      var inFlight = messages.look(files);
      var findings = new ArrayList<Finding>();
      var entries = new HashMap<Integer, file_entry>();
      for (var file : Stream.concat(files.stream(), inFlight.stream()).toList()) {
        int copy = inventory.take(file.first());
        try {
          var found = messages.explain(file, Obstacles.of(file.first(), copy, inventory));
          findings.addAll(found);
          if (found.isEmpty()) {
            var entry = FileKinds.of(file.first(), copy).capture(file.id(), file.first(), copy, session);
            entries.put(file.id(), entry);
            session.add(entry);
          }
        } finally {
          Fd.close(copy);
        }
      }
      if (!findings.isEmpty()) {
        throw new RefusedException(findings);
      }
      addDescriptors(inventory, session, entries);
      var locks = addLocks(files, session);
      return new Captured(session.result().build(), deletedFiles(session), locks, messageQueues(session), memory(inventory));
    }
  }

  private static void addDescriptors(Inventory inventory, CaptureSession session, Map<Integer, file_entry> entries) {
    var byProcess = new HashMap<Integer, process_descriptors_entry.Builder>();
    for (var process : inventory.processes()) {
      byProcess.put(process.pid(), process_descriptors_entry.newBuilder().setPid(process.nsPid()));
    }
    for (var seen : inventory.descriptors()) {
      var entry = entries.get(session.idOf(seen));
      byProcess
          .get(seen.process().pid())
          .addFd(
              fdinfo_entry.newBuilder()
                  .setId(entry.getId())
                  .setFlags(seen.info().closeOnExec() ? Fd.FD_CLOEXEC : 0)
                  .setType(entry.getType())
                  .setFd(seen.fd()));
    }
    inventory.processes().forEach(process -> session.result().addProcess(byProcess.get(process.pid())));
  }

  /** The kernel shows a POSIX lock only to its owner, the others to everybody who has the open file. */
  private static List<file_lock_entry> addLocks(List<OpenFile> files, CaptureSession session) {
    var found = new ArrayList<file_lock_entry>(0);
    for (var file : files) {
      for (var holder : file.holders()) {
        for (var line : holder.info().values("lock")) {
          var lock = FileLock.parse(line);
          boolean again = holder != file.first() && (lock.flag() != FileLock.POSIX || isSecond(holder, file));
          if (!again) {
            found.add(lock.toEntry(holder.process().pid(), holder.fd()));
            session.result().addLock(lock.toEntry(holder.process().nsPid(), holder.fd()));
          }
        }
      }
    }
    return List.copyOf(found);
  }

  /** Whether the same process has the file under a lower number as well. */
  private static boolean isSecond(SeenDescriptor holder, OpenFile file) {
    return file.holders().stream().anyMatch(other -> other.process().equals(holder.process()) && other.fd() < holder.fd());
  }

  private static List<ContainerIpc.OpenQueue> messageQueues(CaptureSession session) {
    var found = new ArrayList<ContainerIpc.OpenQueue>(0);
    session.messageQueues().forEach((number, seen) -> found.add(new ContainerIpc.OpenQueue(number, seen.process().pid(), seen.fd())));
    return found;
  }

  private static List<OpenMemory> memory(Inventory inventory) {
    return inventory.descriptors().stream()
        .filter(seen -> !seen.process().thread())
        .filter(seen -> seen.link().startsWith(MEMORY_FILE) || seen.link().endsWith(SeenDescriptor.DELETED))
        .map(seen -> new OpenMemory(seen.process().pid(), seen.fd(), seen.link()))
        .toList();
  }

  private static List<DeletedFileRef> deletedFiles(CaptureSession session) {
    var found = new ArrayList<DeletedFileRef>();
    session.deleted().forEach((identity, seen) -> found.add(DeletedFileRef.of(identity, seen)));
    return found;
  }
}
