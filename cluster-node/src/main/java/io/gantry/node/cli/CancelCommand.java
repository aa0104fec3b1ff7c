package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** Calls off a move. */
@Command(
    name = "cancel",
    header = "Calls off the move of a container; it runs on where it is.",
    description = {
      "Possible until the move is committed; after that it is finished. Whoever asked for the move is told that it was rolled"
          + " back. Any node may be asked."
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:cancelled; the container runs on",
      "3:no such container",
      "7:no node answers",
      "9:it is in no move, or the move has passed its commit"
    },
    footer = "  gantry cancel web")
final class CancelCommand extends Subcommand {
  @Mixin NodeSocket socket;

  @Parameters(paramLabel = "C", description = "The container.")
  String container;

  @Override
  ExitCode run(Console console) {
    ObjectNode result = socket.open().call(ControlClient.request("cancel").put("container", container));
    console.result(result, "The move of " + container + " was cancelled; it runs on.");
    return ExitCode.OK;
  }
}
