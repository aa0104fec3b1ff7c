package io.gantry.node.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.checkpoint.HostFacts;
import io.gantry.checkpoint.LiveEngine;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Units;
import io.gantry.node.control.ControlClient;
import io.gantry.node.daemon.HostReport;
import io.gantry.node.daemon.Privileges;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** Says what this host can do. */
@Command(
    name = "check",
    header = "Says what this host can and cannot do, each with its reason.",
    description = {
      "Looks at the kernel itself and needs no node. When a node runs here, its rehearsal (it moved a throwaway process when it started) is shown"
          + " as well.",
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {"0:everything that is required is there", "8:not root", "10:something that is required is missing"},
    footer = "  gantry check")
final class CheckCommand extends Subcommand {
  @Mixin NodeSocket socket;

  @Override
  ExitCode run(Console console) {
    Privileges.requireRoot("gantry check", "what is tried needs the rights that a node has");
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
