package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.LiveEngine;
import io.gantry.checkpoint.RefusedException;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import io.gantry.node.Units;
import io.gantry.node.daemon.Privileges;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Saves processes in a directory. Needs no node. */
@Command(
    name = "checkpoint",
    header = "Saves a process and its descendants in a directory of images.",
    description = {
      "The images have CRIU's names and formats. The directory appears when it is complete, never before; the processes are killed after that,"
          + " unless they are to run on. Needs no node.",
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:saved",
      "1:it could not be saved; the processes run on",
      "3:no such process",
      "4:refused; nothing was touched and every reason is given",
      "8:not root",
      "9:the directory exists already"
    },
    footer = "  gantry checkpoint --pid 1234 --images /var/tmp/saved --leave-running")
final class CheckpointCommand extends Subcommand {
  @Option(names = "--pid", required = true, paramLabel = "P", description = "The first process; process 1 of a container saves the container.")
  int pid;

  @Option(names = "--images", required = true, paramLabel = "DIR", description = "The directory to be made; its parent must exist.")
  Path images;

  @Option(names = "--leave-running", description = "The processes run on afterwards.")
  boolean leaveRunning;

  @Override
  ExitCode run(Console console) {
    Privileges.requireRoot("gantry checkpoint", "it stops and reads processes of others");
    if (pid < 1 || !Files.exists(Path.of("/proc/" + pid))) {
      throw new CommandException(ExitCode.NOT_FOUND, "There is no process " + pid + " on this host; ps lists them.");
    }
    Path target = images.toAbsolutePath().normalize();
    if (Files.exists(target)) {
      throw new CommandException(ExitCode.CONFLICT, target + " exists already; choose another --images or remove it.");
    }
    if (target.getParent() == null || !Files.isDirectory(target.getParent())) {
      throw new CommandException(ExitCode.NOT_FOUND, "The directory " + target.getParent() + " does not exist; make it first.");
    }
    try (var engine = new LiveEngine(RestoreCommand.GROUP)) {
      LiveEngine.Checkpointed saved = engine.checkpoint(pid, target, leaveRunning);
      ObjectNode result =
          Json.object()
              .put("pid", pid)
              .put("images", target.toString())
              .put("threads", saved.threads())
              .put("bytes", saved.bytes())
              .put("stopped_ms", Json.millis(saved.stoppedNs()))
              .put("left_running", leaveRunning);
      console.result(
          result,
          "Process " + pid + " with " + saved.threads() + " threads was saved in " + target + ": " + Units.bytes(saved.bytes()) + ", stopped for "
              + Units.millis(saved.stoppedNs() / 1e6) + (leaveRunning ? ", and runs on." : ". It has ended here."));
      return ExitCode.OK;
    } catch (RefusedException refused) {
      throw new CommandException(ExitCode.REFUSED, "Process " + pid + " cannot be saved and was not touched: " + refused.getMessage(), refused);
    } catch (CheckpointException failure) {
      throw new CommandException(ExitCode.FAILED, "Process " + pid + " was not saved: " + failure.getMessage(), failure);
    }
  }
}
