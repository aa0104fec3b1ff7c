package io.gantry.node.daemon;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.checkpoint.HostFacts;
import io.gantry.checkpoint.HostDifference;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** What this host can and cannot do, for {@code gantry check} and for the start of a node. */
public final class HostReport {
  private HostReport() {}

  /** Fields able, kernel, machine, memory_available_bytes, capabilities [{name, available, required, reason}]. */
  public static ObjectNode json(HostFacts facts) {
    ObjectNode report =
        Json.object()
            .put("able", isAble(facts))
            .put("kernel", facts.kernelRelease())
            .put("machine", facts.machine())
            .put("xsave_bytes", facts.xsaveBytes())
            .put("vdso_hash", facts.vdsoHash())
            .put("memory_available_bytes", facts.memoryAvailableBytes());
    var list = report.putArray("capabilities");
    for (HostFacts.Capability capability : facts.capabilities()) {
      list.addObject()
          .put("name", capability.name())
          .put("available", capability.available())
          .put("required", capability.required())
          .put("reason", capability.reason());
    }
    return report;
  }

  /**
   * Fields source, destination, fits (nothing forbids a move), rows [{name, source, destination, verdict (fits | warns | refuses), sentence}].
   *
   * @param source name of the node that containers would leave
   * @param destination name of the one that they would go to
   */
  public static ObjectNode comparison(String source, String destination, List<HostDifference> rows) {
    ObjectNode report =
        Json.object()
            .put("source", source)
            .put("destination", destination)
            .put("fits", rows.stream().noneMatch(row -> row.verdict() == HostDifference.Verdict.REFUSES));
    var list = report.putArray("rows");
    for (HostDifference row : rows) {
      list.addObject()
          .put("name", row.name())
          .put("source", row.source())
          .put("destination", row.destination())
          .put("verdict", row.verdict().name().toLowerCase(Locale.ROOT))
          .put("sentence", row.sentence());
    }
    return report;
  }

  /** Whether everything that is required is there. */
  public static boolean isAble(HostFacts facts) {
    return facts.capabilities().stream().allMatch(capability -> capability.available() || !capability.required());
  }

  /** @throws CommandException {@link ExitCode#HOST_UNFIT} naming everything that is missing */
  static void requireAble(HostFacts facts) {
    if (!isAble(facts)) {
      throw new CommandException(
          ExitCode.HOST_UNFIT,
          "This host cannot run a node: "
              + facts.capabilities().stream()
                  .filter(capability -> capability.required() && !capability.available())
                  .map(capability -> capability.name() + ": " + capability.reason())
                  .collect(Collectors.joining(" ")));
    }
  }
}
