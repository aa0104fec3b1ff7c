package io.gantry.node.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.HostFacts;
import io.gantry.checkpoint.LiveEngine;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Units;
import io.gantry.node.control.ControlClient;
import io.gantry.node.daemon.HostReport;
import io.gantry.node.daemon.Privileges;
import io.gantry.node.daemon.TreeReport;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Says what this host can do, whether it fits another one, or what of a process or container can be moved. */
@Command(
    name = "check",
    header = "Says what this host can and cannot do, whether another fits it, or what of a process or container can be moved, each with its reason.",
    description = {
      "Without options it looks at the kernel itself and needs no node. When a node runs here, its rehearsal (it moved a throwaway process when it"
          + " started) is shown as well.",
      "With --pid or --container it lists all that a process and its descendants have, and whether and how each kind moves; nothing is stopped or"
          + " changed.",
      "With --against it compares this host with another node's, as that node does when a container comes: processors, kernel, what was set and what is"
          + " installed there.",
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:everything that is required is there; all of it can be moved",
      "2:more than one of --pid, --container and --against",
      "3:no such process, container or node",
      "4:something cannot be moved, or nothing from here to there; every reason is given",
      "7:no node answers (--container, --against)",
      "8:not root",
      "9:the container is on another node (--container)",
      "10:something that is required is missing"
    },
    footer = {"  gantry check", "  gantry check --pid 1234", "  gantry check --container web", "  gantry check --against n2"})
final class CheckCommand extends Subcommand {
  @Option(names = "--pid", paramLabel = "P", description = "Looks at this process and its descendants. Needs no node.")
  Integer pid;

  @Option(names = "--container", paramLabel = "C", description = "Looks at this container of the node that runs here.")
  String container;

  @Option(names = "--against", paramLabel = "N", description = "Compares this host with that of node N, to which containers would go.")
  String against;

  @Mixin NodeSocket socket;

  @Override
  ExitCode run(Console console) {
    Privileges.requireRoot("gantry check", "what is tried needs the rights that a node has");
    if (Stream.of(pid, container, against).filter(Objects::nonNull).count() > 1) {
      throw new CommandException(ExitCode.USAGE, "Give one of --pid, --container and --against.");
    }
    if (against != null) {
      return compare(console);
    }
    if (pid != null) {
      return result(console, "Process " + pid, lookAt(pid));
    }
    if (container != null) {
      return result(console, "Container " + container, socket.open().call(ControlClient.request("survey").put("container", container)));
    }
    return host(console);
  }

  private ExitCode compare(Console console) {
    ObjectNode report = socket.open().call(ControlClient.request("compare").put("node", against));
    console.result(report, comparison(report));
    return report.path("fits").asBoolean() ? ExitCode.OK : ExitCode.REFUSED;
  }

  /** A table of all that was compared, below it a sentence for each difference, and what follows. */
  static String comparison(ObjectNode report) {
    String source = report.path("source").asText();
    String destination = report.path("destination").asText();
    var table = new Table("", source, destination, "");
    var sentences = new StringBuilder();
    for (var row : report.path("rows")) {
      String verdict = row.path("verdict").asText();
      table.row(row.path("name").asText(), row.path("source").asText(), row.path("destination").asText(), verdict.equals("fits") ? "" : verdict);
      if (!verdict.equals("fits")) {
        sentences.append('\n').append(row.path("name").asText()).append(": ").append(row.path("sentence").asText()).append('.');
      }
    }
    return table + "\n" + sentences + (sentences.isEmpty() ? "" : "\n")
        + (report.path("fits").asBoolean()
            ? "Containers of " + source + " can run on " + destination + "."
            : "No container of " + source + " can go to " + destination + ".");
  }

  private static ObjectNode lookAt(int pid) {
    if (pid < 1 || !Files.exists(Path.of("/proc/" + pid))) {
      throw new CommandException(ExitCode.NOT_FOUND, "There is no process " + pid + " on this host; ps lists them.");
    }
    try (var engine = new LiveEngine("check-" + ProcessHandle.current().pid())) {
      return TreeReport.json(pid, engine.holdings(pid));
    } catch (CheckpointException failure) {
      throw new CommandException(ExitCode.FAILED, "Looking at process " + pid + " failed: " + failure.getMessage(), failure);
    }
  }

  private static ExitCode result(Console console, String who, ObjectNode report) {
    console.result(report, TreeReport.text(who, report));
    return TreeReport.moves(report) ? ExitCode.OK : ExitCode.REFUSED;
  }

  private ExitCode host(Console console) {
    HostFacts facts;
    try (var engine = new LiveEngine("check-" + ProcessHandle.current().pid())) {
      facts = engine.hostFacts();
    }
    ObjectNode report = HostReport.json(facts);
    var text = new StringBuilder();
    text.append("Kernel ").append(facts.kernelRelease()).append(" on ").append(facts.machine()).append(", ")
        .append(Units.bytes(facts.memoryAvailableBytes())).append(" available.\n");
    boolean colour = console.outHasColour();
    for (HostFacts.Capability capability : facts.capabilities()) {
      text.append(mark(capability, colour)).append(' ').append(capability.name()).append(": ").append(capability.reason()).append('\n');
    }
    text.append(HostReport.isAble(facts) ? "This host can run a node." : "This host cannot run a node.");
    appendRehearsal(report, text);
    console.result(report, text.toString());
    return HostReport.isAble(facts) ? ExitCode.OK : ExitCode.HOST_UNFIT;
  }

  private static String mark(HostFacts.Capability capability, boolean colour) {
    String sign = capability.available() ? "✓" : capability.required() ? "✗" : "–";
    String sgr = capability.available() ? "32" : capability.required() ? "31" : "33";
    return colour ? "\u001b[" + sgr + "m" + sign + "\u001b[0m" : sign;
  }

  private void appendRehearsal(ObjectNode report, StringBuilder text) {
    JsonNode rehearsal;
    try {
      rehearsal = socket.open().call(ControlClient.request("check")).path("rehearsal");
    } catch (CommandException noNode) {
      text.append("\nNo node was asked: ").append(noNode.getMessage());
      return;
    }
    if (rehearsal.isMissingNode()) {
      text.append("\nThe node did not rehearse.");
      return;
    }
    report.set("rehearsal", rehearsal);
    text.append(
        rehearsal.path("passed").asBoolean()
            ? "\nThe node rehearsed " + rehearsal.path("moves").asInt() + " moves: a pause of " + Units.millis(rehearsal.path("first_pause_ms").asDouble())
                + " at first, " + Units.millis(rehearsal.path("last_pause_ms").asDouble()) + " at last."
            : "\nThe node's rehearsal failed: " + rehearsal.path("sentence").asText());
  }
}
