package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Starts a container. */
@Command(
    name = "run",
    header = "Starts a container: a process tree with its own pids, mounts, ipc and host name, and its own cgroup.",
    description = {
      "The program gets this command's environment and working directory. It runs on when the node stops, and its output goes to a file that"
          + " moves with it (gantry logs).",
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:it runs",
      "3:no such node, or the program was not found",
      "7:no node answers",
      "9:the name is taken"
    },
    footer = "  gantry run --name web -- python3 -m http.server 8000")
final class RunCommand extends Subcommand {
  /** As {@link io.gantry.checkpoint.ContainerSpec#name()} demands. */
  static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}");

  @Mixin NodeSocket socket;

  @Option(
      names = "--name",
      required = true,
      paramLabel = "C",
      description = "Name of the container, unique in the cluster: letters, digits, dot, dash, underscore.")
  String name;

  @Option(names = "--node", paramLabel = "N", description = "Node to start it on. Default: the node that is asked.")
  String node;

  @Option(names = "--cwd", paramLabel = "DIR", description = "Working directory. Default: the current one.")
  String workingDirectory;

  @Option(
      names = {"-e", "--env"},
      paramLabel = "K=V",
      description = "Sets a variable in the program's environment. May be given several times.")
  Map<String, String> variables = Map.of();

  @Parameters(arity = "1..*", paramLabel = "CMD ARG", description = "Program and arguments, after --.")
  List<String> command = new ArrayList<>();

  @Override
  ExitCode run(Console console) {
    if (!NAME.matcher(name).matches()) {
      throw usage(
          "'" + name + "' cannot be a container's name: it may have letters, digits, dot, dash and underscore, begins with a letter or digit,"
              + " and has at most 63 characters.");
    }
    ObjectNode request = ControlClient.request("run").put("container", name);
    if (node != null) {
      request.put("node", node);
    }
    request.put("cwd", workingDirectory == null ? System.getProperty("user.dir") : workingDirectory);
    var arguments = request.putArray("argv");
    command.forEach(arguments::add);
    var environment = request.putObject("env");
    System.getenv().forEach(environment::put);
    variables.forEach(environment::put);
    ObjectNode result = socket.open().call(request);
    console.result(result, name + " runs on " + result.path("node").asText() + " (process " + result.path("init_pid").asLong() + ").");
    return ExitCode.OK;
  }
}
