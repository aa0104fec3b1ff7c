package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.Units;

/** The result of a move in words. */
public final class MigrationText {
  private MigrationText() {}

  /** What {@code gantry migrate} exits with for a result. */
  public static ExitCode exitCode(ObjectNode result) {
    return switch (result.path("outcome").asText()) {
      case "completed" -> ExitCode.OK;
      case "refused" -> ExitCode.REFUSED;
      case "rolled-back" -> ExitCode.ROLLED_BACK;
      case "in-doubt" -> ExitCode.IN_DOUBT;
      default -> ExitCode.FAILED;
    };
  }

  /** One or several lines for a person. */
  public static String summary(ObjectNode result) {
    String container = result.path("container").asText();
    String from = result.path("from").asText();
    String to = result.path("to").asText();
    String reason = result.path("reason").asText();
    return switch (result.path("outcome").asText()) {
      case "completed" -> completed(result) + warnings(result);
      case "refused" -> container + " was not moved to " + to + " and not touched: " + reason;
      case "rolled-back" -> container + " was not moved to " + to + " and runs on on " + from + ": " + reason;
      case "in-doubt" ->
          container + " is frozen until it is known whether it belongs to " + from + " or " + to + ": " + reason + " See gantry ps.";
      default -> container + ": " + result;
    };
  }

  private static String warnings(ObjectNode result) {
    var text = new StringBuilder();
    result.path("warnings").forEach(warning -> text.append("\nThe hosts differ: ").append(warning.asText()).append('.'));
    return text.toString();
  }

  private static String completed(ObjectNode result) {
    long bytes = result.path("bytes_sent").asLong();
    double totalMs = result.path("total_ms").asDouble();
    var text = new StringBuilder();
    text.append(result.path("container").asText())
        .append(" moved from ")
        .append(result.path("from").asText())
        .append(" to ")
        .append(result.path("to").asText())
        .append(": paused ")
        .append(Units.millis(result.path("pause_ms").asDouble()))
        .append(" (predicted ")
        .append(Units.millis(result.path("predicted_pause_ms").asDouble()))
        .append("), ")
        .append(Units.bytes(bytes))
        .append(" in ")
        .append(result.path("rounds").size())
        .append(" rounds, ")
        .append(Units.millis(totalMs))
        .append(" in all.");
    var phases = result.path("phases_ms").properties();
    if (!phases.isEmpty()) {
      text.append("\nThe pause:");
      String separator = " ";
      for (var phase : phases) {
        text.append(separator).append(phase.getKey().replace('_', ' ')).append(' ').append(Units.millis(phase.getValue().asDouble()));
        separator = ", ";
      }
      text.append('.');
    }
    return text.toString();
  }
}
