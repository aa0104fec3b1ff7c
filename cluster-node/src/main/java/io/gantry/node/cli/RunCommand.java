package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.checkpoint.NetworkSpec;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import java.nio.file.Path;
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
    header = "Starts a container: a process tree with its own pids, mounts, ipc and host name, and its own cgroup, or an OCI bundle.",
    description = {
      "The program gets this command's environment and working directory. It runs on when the node stops, and its output goes to a file that"
          + " moves with it (gantry logs).",
      "With --bundle, an OCI runtime makes the container from a bundle, here and wherever it moves, and knows it under the name that it has here"
          + " (runc state, exec, kill). Its bundle travels with it to hosts that do not share it; docs/oci.md says what must be"
          + " on each.",
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:it runs",
      "2:neither a program nor a bundle, or both",
      "3:no such node, or the program was not found",
      "7:no node answers",
      "9:the name is taken"
    },
    footer = {
      "  gantry run --name web -- python3 -m http.server 8000",
      "  gantry run --name web --bundle /srv/web",
      "  gantry run --name web --bundle /srv/web --volume /srv/web-data",
      "  gantry run --name web --bundle /srv/web --runtime crun",
      "  gantry run --name web --bundle /srv/web --network bridge=br0,address=10.9.0.5/24,gateway=10.9.0.1"
    })
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

  @Option(
      names = "--network",
      paramLabel = "SPEC",
      description = {
        "A network of its own: bridge=BR,address=10.9.0.5/24[,address=fd00::5/64][,gateway=10.9.0.1][,mac=02:00:00:00:00:05][,mtu=1500].",
        "The address moves with the container, and so do its connections. Default: the node's network.",
        "With --bundle, whose config.json must ask for a network namespace, that gets the device before the program starts."
      })
  String network;

  @Option(
      names = "--volume",
      paramLabel = "DIR",
      description = {
        "Directory whose files belong to the container and travel with it to hosts that do not share them.",
        "May be given several times.",
        "With --bundle, one in which a bind mount of config.json has its source; the bundle itself travels anyway."
      })
  List<Path> volumes = List.of();

  @Option(
      names = "--bundle",
      paramLabel = "DIR",
      description = "Directory with an OCI config.json, under this path on every host it moves to.")
  Path bundle;

  @Option(names = "--runtime", paramLabel = "R", description = "With --bundle: runc or crun. Default: runc.")
  String runtime;

  @Parameters(arity = "0..*", paramLabel = "CMD ARG", description = "Program and arguments, after --.")
  List<String> command = new ArrayList<>();

  @Override
  ExitCode run(Console console) {
    if (!NAME.matcher(name).matches()) {
      throw usage(
          "'" + name + "' cannot be a container's name: it may have letters, digits, dot, dash and underscore, begins with a letter or digit,"
              + " and has at most 63 characters.");
    }
    if (network != null) {
      try {
        NetworkSpec.parse(network);
      } catch (IllegalArgumentException wrong) {
        throw usage(wrong.getMessage());
      }
    }
    if (bundle != null) {
      return runBundle(console);
    }
    if (command.isEmpty()) {
      throw usage("There is no program to run; give it after --, or a bundle with --bundle.");
    }
    if (runtime != null) {
      throw usage("--runtime says who makes a container from a bundle; give one with --bundle.");
    }
    ObjectNode request = ControlClient.request("run").put("container", name);
    if (node != null) {
      request.put("node", node);
    }
    if (network != null) {
      request.put("network", network);
    }
    putVolumes(request);
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

  private void putVolumes(ObjectNode request) {
    if (!volumes.isEmpty()) {
      var paths = request.putArray("volumes");
      volumes.forEach(volume -> paths.add(volume.toAbsolutePath().normalize().toString()));
    }
  }

  private ExitCode runBundle(Console console) {
    if (!command.isEmpty() || workingDirectory != null || !variables.isEmpty()) {
      throw usage("Program, working directory and environment of a bundle stand in its config.json; leave them out here.");
    }
    ObjectNode request = ControlClient.request("run-bundle").put("container", name).put("id", name);
    request.put("runtime", runtime == null ? "runc" : runtime).put("bundle", bundle.toAbsolutePath().normalize().toString());
    if (node != null) {
      request.put("node", node);
    }
    if (network != null) {
      request.put("network", network);
    }
    putVolumes(request);
    ObjectNode result = socket.open().call(request);
    console.result(result, name + " runs on " + result.path("node").asText() + " (process " + result.path("init_pid").asLong() + ").");
    return ExitCode.OK;
  }
}
