package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.ContainerHandle;
import io.gantry.checkpoint.LiveEngine;
import io.gantry.checkpoint.RefusedException;
import io.gantry.checkpoint.image.ImageDirectoryReader;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import io.gantry.node.daemon.Privileges;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Recreates processes from a directory. Needs no node. */
@Command(
    name = "restore",
    header = "Recreates what gantry checkpoint or criu dump has saved, and lets it run.",
    description = {
      "Processes of the host get back the ids they had, which must be free; a container gets new namespaces. Every file is verified before anything"
          + " is made. Needs no node.",
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:it runs",
      "1:it could not be recreated, for instance because an id is taken; nothing is left of the attempt",
      "3:no such directory",
      "4:refused; this host does not fit, and every reason is given",
      "8:not root",
      "12:the images are incomplete, damaged or from a newer version"
    },
    footer = "  gantry restore --images /var/tmp/saved")
final class RestoreCommand extends Subcommand {
  /** Name of the cgroup below which restored processes live. */
  static final String GROUP = "images";

  @Option(names = "--images", required = true, paramLabel = "DIR", description = "The directory that gantry checkpoint or criu dump has made.")
  Path images;

  @Override
  ExitCode run(Console console) {
    Privileges.requireRoot("gantry restore", "it creates processes with chosen ids");
    Path source = images.toAbsolutePath().normalize();
    if (!Files.isDirectory(source)) {
      throw new CommandException(ExitCode.NOT_FOUND, "There is no directory " + source + "; give the one that gantry checkpoint has made.");
    }
    try {
      ImageDirectoryReader.open(source);
    } catch (CheckpointException damaged) {
      throw new CommandException(ExitCode.DAMAGED, "Nothing was restored: " + damaged.getMessage(), damaged);
    }
    try (var engine = new LiveEngine(GROUP)) {
      ContainerHandle restored = engine.restore(source);
      ObjectNode result = Json.object().put("images", source.toString()).put("pid", restored.initPid()).put("cgroup", restored.cgroup().toString());
      console.result(result, "Process " + restored.initPid() + " runs again.");
      return ExitCode.OK;
    } catch (RefusedException refused) {
      throw new CommandException(ExitCode.REFUSED, "Nothing was restored: " + refused.getMessage(), refused);
    } catch (CheckpointException failure) {
      throw new CommandException(ExitCode.FAILED, "Nothing was restored: " + failure.getMessage(), failure);
    }
  }
}
