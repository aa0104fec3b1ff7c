package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** Lists nodes. */
@Command(
    name = "nodes",
    header = "Lists the nodes of the cluster as the asked node sees them.",
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {"0:listed", "7:no node answers"},
    footer = "  gantry nodes")
final class NodesCommand extends Subcommand {
  @Mixin NodeSocket socket;

  @Override
  ExitCode run(Console console) {
    ObjectNode result = socket.open().call(ControlClient.request("nodes"));
    var table = new Table("NODE", "ADDRESS", "STATUS", ">CONTAINERS", "KERNEL", "", "");
    for (var node : result.path("nodes")) {
      table.row(
          node.path("name").asText(),
          node.path("address").asText(),
          node.path("reachable").asBoolean() ? "up" : "unreachable",
          Long.toString(node.path("containers").asLong()),
          node.path("kernel").asText(),
          node.path("self").asBoolean() ? "(this one)" : "",
          node.path("note").asText());
    }
    console.result(result, table.toString());
    return ExitCode.OK;
  }
}
