package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import io.gantry.node.Units;
import io.gantry.node.control.ControlSocket;
import io.gantry.node.daemon.NodeConfig;
import io.gantry.node.daemon.NodeDaemon;
import io.gantry.node.daemon.NodeLauncher;
import io.gantry.node.daemon.Privileges;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Starts a node. */
@Command(
    name = "node",
    header = "Starts the node of this host, in the background, and waits until it is ready.",
    description = {
      "It survives its terminal. SIGTERM ends it cleanly and leaves its containers running; a node started again on the same state directory"
          + " takes them up. Options win over environment variables (GANTRY_NAME, GANTRY_BIND, GANTRY_PORT, GANTRY_PAGES_PORT, GANTRY_JOIN,"
          + " GANTRY_STATE_DIR, GANTRY_CONFIG), and these over the configuration file.",
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:ready (in the foreground: ended cleanly)",
      "2:an option or the configuration is wrong, or the state directory cannot be written",
      "8:not root",
      "9:port in use, or another node has the state directory",
      "10:the kernel lacks something that is needed"
    },
    footer = {
      "  gantry node --name alpha --bind 10.0.0.1",
      "  gantry node --name beta --bind 10.0.0.2 --join 10.0.0.1"
    })
final class StartNodeCommand extends Subcommand {
  @Option(names = "--name", paramLabel = "N", description = "Name of the node, unique in the cluster.")
  String name;

  @Option(names = "--bind", paramLabel = "ADDR", description = "Address of this host at which the other nodes reach it.")
  String bind;

  @Option(names = "--port", paramLabel = "PORT", description = "TCP port for the cluster. Default: 7750.")
  Integer port;

  @Option(names = "--pages-port", paramLabel = "PORT", description = "UDP port for pages. Default: 7751.")
  Integer pagesPort;

  @Option(
      names = "--join",
      paramLabel = "ADDR",
      description = "Address (or address:port) of a node that is in the cluster already; may be given several times. Without: a new cluster.")
  List<String> join = new ArrayList<>();

  @Option(names = "--state-dir", paramLabel = "DIR", description = "Where it keeps ledger, containers' files, log and control socket. Default: /var/lib/gantry.")
  Path stateDirectory;

  @Option(names = "--config", paramLabel = "FILE", description = "Configuration file (HOCON); see docs/commands.md.")
  Path config;

  @Option(names = "--foreground", description = "Stay in the foreground and log to standard error.")
  boolean foreground;

  @Option(names = "--no-rehearsal", description = "Be ready without having moved a throwaway process; the first move is slower then.")
  boolean noRehearsal;

  @Option(names = "--report-ready", hidden = true, description = "Say on standard output when ready; used by the parent process.")
  boolean reportReady;

  @Option(
      names = "--temporary-for",
      hidden = true,
      paramLabel = "PID",
      description = "When that process has ended, end too, with all containers here, and remove the directory that the state directory is in.")
  Long temporaryFor;

  @Override
  ExitCode run(Console console) {
    NodeConfig resolved;
    try {
      resolved = NodeConfig.resolve(options(), System.getenv());
      ControlSocket.in(resolved.stateDirectory());
      Privileges.requireRoot("gantry node", "it stops, reads and creates processes of others");
      if (foreground) {
        NodeDaemon.run(resolved, reportReady ? Optional.of(System.out) : Optional.empty(), Optional.ofNullable(temporaryFor));
        return ExitCode.OK;
      }
    } catch (CommandException failure) {
      if (reportReady) {
        ObjectNode said = Json.object();
        said.putObject("error").put("code", failure.code().word()).put("message", failure.getMessage());
        System.out.println(Json.line(said));
      }
      throw failure;
    }
    NodeLauncher.Started started = NodeLauncher.start(resolved.stateDirectory(), arguments(resolved));
    ObjectNode ready = started.ready();
    console.result(
        ready,
        "Node " + ready.path("name").asText() + " is ready on " + ready.path("address").asText() + " (process " + ready.path("pid").asLong()
            + ", after " + Units.millis(ready.path("start_ms").asDouble()) + "). Log: " + ready.path("log").asText());
    return ExitCode.OK;
  }

  private NodeConfig.Options options() {
    return new NodeConfig.Options(
        Optional.ofNullable(name),
        Optional.ofNullable(bind),
        Optional.ofNullable(port),
        Optional.ofNullable(pagesPort),
        join,
        Optional.ofNullable(stateDirectory),
        Optional.ofNullable(config).map(Path::toAbsolutePath),
        noRehearsal ? Optional.of(false) : Optional.empty());
  }

  /** What was found out here, so that the child, which runs in another directory, does not find out something else. */
  private List<String> arguments(NodeConfig resolved) {
    var arguments = new ArrayList<String>();
    arguments.addAll(List.of("--name", resolved.name(), "--bind", resolved.bind()));
    arguments.addAll(List.of("--port", Integer.toString(resolved.port()), "--pages-port", Integer.toString(resolved.pagesPort())));
    arguments.addAll(List.of("--state-dir", resolved.stateDirectory().toString()));
    resolved.join().forEach(address -> arguments.addAll(List.of("--join", address)));
    if (config != null) {
      arguments.addAll(List.of("--config", config.toAbsolutePath().toString()));
    }
    if (!resolved.rehearse()) {
      arguments.add("--no-rehearsal");
    }
    return arguments;
  }
}
