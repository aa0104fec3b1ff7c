package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** Ends a container. */
@Command(
    name = "stop",
    header = "Ends a container: kills all its processes and removes what is left of it, console included.",
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {"0:it has ended", "3:no such container", "7:no node answers", "9:it is being moved"},
    footer = "  gantry stop web")
final class StopCommand extends Subcommand {
  @Mixin NodeSocket socket;

  @Parameters(paramLabel = "C", description = "The container.")
  String container;

  @Override
  ExitCode run(Console console) {
    ObjectNode result = socket.open().call(ControlClient.request("stop").put("container", container));
    console.result(result, container + " has ended.");
    return ExitCode.OK;
  }
}
