package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.Charset;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Takes a person's word that a host is off. */
@Command(
    name = "resolve",
    header = "Lets a container run on that waits for a host which is off.",
    description = {
      "When a host is lost in the middle of a move, the other one cannot know whether the container still runs there, and keeps"
          + " its copy frozen. If you know that the lost host is off, switched off and not just out of reach, say so: the"
          + " copy that is left becomes the container.",
      "If that host is not off, two copies run until the two hosts meet again; then the copy on the host that was said to be off"
          + " is removed."
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:the container runs",
      "2:there is no terminal to ask for confirmation on, and --yes is missing",
      "3:no such container",
      "7:no node answers",
      "9:it was not confirmed, that host can be reached, or the container does not wait for it"
    },
    footer = "  gantry resolve web --host-is-off beta")
final class ResolveCommand extends Subcommand {
  @Mixin NodeSocket socket;

  @Parameters(paramLabel = "C", description = "The container.")
  String container;

  @Option(names = "--host-is-off", required = true, paramLabel = "N", description = "The node whose host is off.")
  String hostOff;

  @Option(names = "--yes", description = "Do not ask for confirmation.")
  boolean yes;

  @Override
  ExitCode run(Console console) throws IOException {
    if (!yes && !console.canAsk()) {
      throw usage(
          "There is no terminal to ask for confirmation on: say --yes if you are sure that the host of node "
              + hostOff + " is off.");
    }
    var client = socket.open();
    if (!yes) {
      console.question(
          "If the host of node " + hostOff + " is not off, " + container + " may run twice and one copy will be lost."
              + " Is that host switched off? [yes/no] ");
      var input = new BufferedReader(new InputStreamReader(System.in, Charset.defaultCharset()));
      if (!"yes".equals(input.readLine())) {
        throw new CommandException(ExitCode.CONFLICT, "It was not confirmed with 'yes'; nothing was changed.");
      }
    }
    ObjectNode result = client.call(ControlClient.request("resolve").put("container", container).put("host_is_off", hostOff));
    console.result(result, container + " runs on node " + result.path("node").asText() + ".");
    return ExitCode.OK;
  }
}
