package io.gantry.node.daemon;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Holding;
import io.gantry.checkpoint.Holdings;
import io.gantry.node.Json;
import io.gantry.node.Units;

/** What a tree of processes has and whether it moves, for {@code gantry check --pid} and {@code --container}. */
public final class TreeReport {
  private TreeReport() {}

  /** Fields pid, moves, processes, threads, resident_bytes, kinds [{part, kind, count, moves, how, reasons [{pid, descriptor, sentence}]}]. */
  public static ObjectNode json(int pid, Holdings holdings) {
    ObjectNode report =
        Json.object()
            .put("pid", pid)
            .put("moves", holdings.moves())
            .put("processes", holdings.footprint().processes())
            .put("threads", holdings.footprint().threads())
            .put("resident_bytes", holdings.footprint().residentBytes());
    var kinds = report.putArray("kinds");
    for (Holding holding : holdings.kinds()) {
      ObjectNode kind =
          kinds.addObject()
              .put("part", holding.part())
              .put("kind", holding.kind())
              .put("count", holding.count())
              .put("moves", holding.moves())
              .put("how", holding.how());
      var reasons = kind.putArray("reasons");
      for (Finding finding : holding.reasons()) {
        ObjectNode reason = reasons.addObject();
        if (finding.pid() > 0) {
          reason.put("pid", finding.pid());
        }
        if (finding.descriptor() >= 0) {
          reason.put("descriptor", finding.descriptor());
        }
        reason.put("sentence", finding.sentence());
      }
    }
    return report;
  }

  /** Whether everything in such an object moves. */
  public static boolean moves(JsonNode report) {
    return report.path("moves").asBoolean();
  }

  /** The same for people, a line for each kind and below it one for each reason. */
  public static String text(String who, JsonNode report) {
    var text = new StringBuilder(who);
    text.append(": ").append(report.path("processes").asInt()).append(" processes, ").append(report.path("threads").asInt()).append(" threads, ")
        .append(Units.bytes(report.path("resident_bytes").asLong())).append(" of their own.\n");
    String part = "";
    for (JsonNode kind : report.path("kinds")) {
      if (!kind.path("part").asText().equals(part)) {
        part = kind.path("part").asText();
        text.append(part).append('\n');
      }
      text.append(kind.path("moves").asBoolean() ? "  ✓ " : "  ✗ ").append(kind.path("count").asInt()).append(" × ").append(kind.path("kind").asText());
      if (!kind.path("how").asText().isEmpty()) {
        text.append(": ").append(kind.path("how").asText());
      }
      text.append('\n');
      for (JsonNode reason : kind.path("reasons")) {
        text.append("      ");
        if (reason.has("pid")) {
          text.append("process ").append(reason.path("pid").asInt()).append(reason.has("descriptor") ? ", " : ": ");
        }
        if (reason.has("descriptor")) {
          text.append("descriptor ").append(reason.path("descriptor").asInt()).append(": ");
        }
        text.append(reason.path("sentence").asText()).append('\n');
      }
    }
    return text.append(moves(report) ? "All of it can be moved." : "It cannot be moved as it is.").toString();
  }
}
