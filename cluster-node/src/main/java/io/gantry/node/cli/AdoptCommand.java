package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Takes up a container that an OCI runtime has made. */
@Command(
    name = "adopt",
    header = "Takes up a container that runc or crun has made and that runs on the asked node, so that it can be moved.",
    description = {
      "Its processes are not touched. From then on it is a container like any other: gantry migrate moves it, gantry stop ends it and deletes it from"
          + " its runtime. Who has started it must not delete it or start it anew when it is gone from here. Its output goes where it went: to files,"
          + " which must be at the same path on the destination, or to /dev/null; pipes and terminals whose other end is outside cannot move.",
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:it is a container of this node now",
      "1:the runtime knows no such container, or it does not run",
      "7:no node answers",
      "9:the name is taken"
    },
    footer = {
      "  gantry adopt --runtime runc --id web",
      "  gantry adopt --runtime crun --id 5f0c --name web"
    })
final class AdoptCommand extends Subcommand {
  @Mixin NodeSocket socket;

  @Option(names = "--runtime", required = true, paramLabel = "R", description = "runc or crun.")
  String runtime;

  @Option(names = "--id", required = true, paramLabel = "ID", description = "What the runtime calls it.")
  String id;

  @Option(names = "--name", paramLabel = "C", description = "What it is called here, unique in the cluster. Default: the id.")
  String name;

  @Override
  ExitCode run(Console console) {
    String called = name == null ? id : name;
    if (!RunCommand.NAME.matcher(called).matches()) {
      throw usage(
          "'" + called + "' cannot be a container's name: it may have letters, digits, dot, dash and underscore, begins with a letter or digit,"
              + " and has at most 63 characters; give another with --name.");
    }
    ObjectNode request = ControlClient.request("run-bundle").put("container", called).put("runtime", runtime).put("id", id).put("adopt", true);
    ObjectNode result = socket.open().call(request);
    console.result(result, called + " on " + result.path("node").asText() + " can be moved now (process " + result.path("init_pid").asLong() + ").");
    return ExitCode.OK;
  }
}
