package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.RefusedException;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.fdinfo_entry;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.process_descriptors_entry;
import io.gantry.checkpoint.linux.Fd;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Describes all descriptors of a stopped container, from outside: {@code pidfd_getfd(2)} and {@code /proc/PID/fdinfo}.
 * Nothing is run
 * inside the processes and nothing is consumed. Any one thread.
 */
public final class DescriptorCapture {
  private DescriptorCapture() {}

  /**
   * What was found.
   *
   * @param state every open file once, and who has it under which number
   * @param deletedFiles files whose content has to be sent; see {@link FileContentSender#last}
   */
  public record Captured(descriptors_entry state, List<DeletedFileRef> deletedFiles) {}

  /**
   * A file that is open and has no name.
   *
   * @param identity names it in every message
   * @param pid a process that has it open, as the host counts
   * @param fd its descriptor there
   * @param path the name it had
   */
  public record DeletedFileRef(FileIdentity identity, int pid, int fd, String path) {}

  /**
   * @param processes all live processes of the container, parents before their children; zombies may be left out
   * @throws RefusedException when something cannot be carried after all; the container may simply run on
   */
  public static Captured capture(List<ProcessRef> processes) {
    if (processes.isEmpty()) {
      return new Captured(descriptors_entry.getDefaultInstance(), List.of());
    }
    try (var inventory = Inventory.take(processes)) {
      for (var process : processes) {
        if (!inventory.hasProcess(process)) {
          throw new CheckpointException("process " + process.pid() + " ended while its descriptors were being captured");
        }
      }
      var files = inventory.openFiles();
      var session = new CaptureSession(inventory, files);
      var findings = new ArrayList<Finding>();
      var entries = new HashMap<Integer, file_entry>();
      for (var file : files) {
        int copy = inventory.take(file.first());
        try {
          var found = Obstacles.of(file.first(), copy, inventory);
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
      return new Captured(session.result().build(), deletedFiles(session));
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

  private static List<DeletedFileRef> deletedFiles(CaptureSession session) {
    var found = new ArrayList<DeletedFileRef>();
    session
        .deleted()
        .forEach(
            (identity, seen) -> found.add(new DeletedFileRef(identity, seen.process().pid(), seen.fd(),
                seen.pathWithoutRemark())));
    return found;
  }
}
