package io.gantry.node.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** Lists containers. */
@Command(
    name = "ps",
    header = "Lists the containers of the whole cluster.",
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {"0:listed", "7:no node answers"},
    footer = "  gantry ps --json | jq -r '.containers[].name'")
final class PsCommand extends Subcommand {
  @Mixin NodeSocket socket;

  @Override
  ExitCode run(Console console) {
    ObjectNode result = socket.open().call(ControlClient.request("ps"));
    var table = new Table("CONTAINER", "NODE", "STATUS", ">PID", ">EPOCH", "COMMAND", "");
    for (var container : result.path("containers")) {
      long pid = container.path("init_pid").asLong();
      table.row(
          container.path("name").asText(),
          container.path("node").asText(),
          container.path("status").asText(),
          pid > 0 ? Long.toString(pid) : "-",
          Long.toString(container.path("epoch").asLong()),
          shortened(container.path("command")),
          container.path("note").asText());
    }
    console.result(result, result.path("containers").isEmpty() ? "No containers." : table.toString());
    return ExitCode.OK;
  }

  private static String shortened(JsonNode command) {
    var text = new StringBuilder();
    for (var word : command) {
      text.append(text.isEmpty() ? "" : " ").append(word.asText());
    }
    return text.length() <= 40 ? text.toString() : text.substring(0, 39) + "…";
  }
}
