package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.node.Json;
import io.gantry.node.Units;
import io.gantry.simulation.scenario.Distribution;
import io.gantry.simulation.scenario.ScenarioResult;
import java.util.Locale;

/** What the moves of a simulated scenario cost, for people and for programs. */
final class ScenarioReport {
  private ScenarioReport() {}

  static ObjectNode json(ScenarioResult result) {
    var report = Json.object();
    report.put("nodes", result.scenario().nodes());
    report.put("moves", result.moves().size());
    for (var outcome : Result.values()) {
      report.put(outcome.name().toLowerCase(Locale.ROOT), result.count(outcome));
    }
    report.put("virtual_s", Json.round(result.virtualNs() / 1e9));
    put(report.putObject("pause_ms"), result.pauseMs());
    put(report.putObject("total_ms"), result.totalMs());
    put(report.putObject("bytes"), result.bytes());
    return report;
  }

  private static void put(ObjectNode object, Distribution distribution) {
    object
        .put("min", Json.round(distribution.min()))
        .put("mean", Json.round(distribution.mean()))
        .put("p50", Json.round(distribution.p50()))
        .put("p95", Json.round(distribution.p95()))
        .put("p99", Json.round(distribution.p99()))
        .put("max", Json.round(distribution.max()));
  }

  static String text(ScenarioResult result) {
    var table = new Table("OF " + result.count(Result.COMPLETED) + " COMPLETED MOVES", ">P50", ">P95", ">P99", ">MAX", ">MEAN");
    row(table, "pause", result.pauseMs(), true);
    row(table, "total time", result.totalMs(), true);
    row(table, "bytes sent", result.bytes(), false);
    return "%s\n%d moves in %.1f s of virtual time, %d of them rolled back and %d refused."
        .formatted(
            table, result.moves().size(), result.virtualNs() / 1e9, result.count(Result.ROLLED_BACK), result.count(Result.REFUSED));
  }

  private static void row(Table table, String name, Distribution figures, boolean isTime) {
    table.row(
        name,
        number(figures.p50(), isTime),
        number(figures.p95(), isTime),
        number(figures.p99(), isTime),
        number(figures.max(), isTime),
        number(figures.mean(), isTime));
  }

  private static String number(double value, boolean isTime) {
    return isTime ? Units.millis(value) : Units.bytes(value);
  }
}
