package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Shows a container's output. */
@Command(
    name = "logs",
    header = "Shows what a container has written to its console.",
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {"0:shown", "3:no such container", "7:no node answers"},
    footer = "  gantry logs -f web")
final class LogsCommand extends Subcommand {
  @Mixin NodeSocket socket;

  @Parameters(paramLabel = "C", description = "The container.")
  String container;

  @Option(
      names = {"-f", "--follow"},
      description = "Go on showing what is written, until Ctrl-C or until the container has ended or left this node.")
  boolean follow;

  @Option(names = "--bytes", paramLabel = "N", defaultValue = "1048576", description = "Begin this far before the end (${DEFAULT-VALUE}).")
  long bytes;

  @Override
  ExitCode run(Console console) {
    if (follow && json) {
      throw usage("--follow has no end and --json prints one object at the end: use one of them.");
    }
    if (bytes < 0) {
      throw usage("--bytes must not be negative.");
    }
    ObjectNode request = ControlClient.request("logs").put("container", container).put("follow", follow).put("bytes", bytes);
    var text = new StringBuilder();
    ObjectNode result =
        socket
            .open()
            .call(
                request,
                progress -> {
                  if (json) {
                    text.append(progress.path("text").asText());
                  } else {
                    console.raw(progress.path("text").asText());
                  }
                });
    if (json) {
      console.result(result.put("log", text.toString()), "");
    }
    return ExitCode.OK;
  }
}
