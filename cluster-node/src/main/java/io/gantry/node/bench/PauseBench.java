package io.gantry.node.bench;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import io.gantry.node.Units;
import io.gantry.node.cli.Console;
import io.gantry.node.cli.MigrationText;
import io.gantry.node.cli.ProgressLine;
import io.gantry.node.control.ControlClient;
import io.gantry.node.demo.LocalCluster;
import io.gantry.node.demo.Workload;
import io.gantry.node.workload.PageWriter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.HdrHistogram.Histogram;

/** Measures pauses by the moved program's own clock. Used once. */
public final class PauseBench {
  private static final int DIRTY_PAGES = 500;
  private static final int DIRTY_EVERY_MS = 10;

  /** The programs end by themselves some time, whatever happens to those who started them. */
  private static final String LIFE_SECONDS = "7200";

  /** Enough for a steady rate. */
  private static final long RAW_BYTES = 2L << 30;

  private final Console console;
  private final List<Long> sizes;
  private final int moves;
  private final Optional<Path> criu;

  /**
   * @param sizes bytes that the program holds, one result each
   * @param moves how often it moves
   * @param criu CRIU's program, to measure dump plus restore of the same program
   */
  public PauseBench(Console console, List<Long> sizes, int moves, Optional<Path> criu) {
    this.console = console;
    this.sizes = List.copyOf(sizes);
    this.moves = moves;
    this.criu = criu;
  }

  /** The whole report. */
  public ObjectNode run() {
    criu.ifPresent(CriuRun::requireUsable);
    ObjectNode report = Json.object();
    report.set("machine", Machine.describe());
    console.note("gantry: measuring a raw Aeron stream …");
    long rawBytesPerSecond;
    try (var streams = new StreamBench()) {
      rawBytesPerSecond = streams.raw(RAW_BYTES);
    }
    ArrayNode results = report.putArray("results");
    try (LocalCluster cluster = LocalCluster.start("alpha", "beta")) {
      for (long size : sizes) {
        results.add(pauses(cluster, size).put("raw_stream_bytes_per_s", rawBytesPerSecond));
      }
      report.set("idle", idle(cluster, sizes.getFirst()));
    }
    for (int i = 0; i < results.size(); i++) {
      if (criu.isPresent()) {
        console.note("gantry: CRIU, " + Units.bytes(sizes.get(i)) + " …");
        ((ObjectNode) results.get(i)).put("criu_pause_ms", CriuRun.pauseMs(criu.get(), sizes.get(i), DIRTY_PAGES, DIRTY_EVERY_MS));
      } else {
        ((ObjectNode) results.get(i)).putNull("criu_pause_ms");
      }
    }
    return report;
  }

  private ObjectNode pauses(LocalCluster cluster, long size) {
    Workload workload =
        Workload.start(
            cluster, "writer-" + size, PageWriter.class, Long.toString(size), Integer.toString(DIRTY_PAGES), Integer.toString(DIRTY_EVERY_MS),
            LIFE_SECONDS);
    // Microseconds, up to a minute, three digits.
    var histogram = new Histogram(60_000_000L, 3);
    var pauses = new ArrayList<Double>();
    long bytesSent = 0;
    double firstRoundBytes = 0;
    double firstRoundMs = 0;
    double predictionErrorMs = 0;
    for (int move = 1; move <= moves; move++) {
      var line = new ProgressLine(console, Units.bytes(size) + ", move " + move + "/" + moves + "  ");
      ObjectNode result = completed(workload.move(Json.object(), line::show));
      double pauseMs = result.path("program_pause_ms").asDouble();
      pauses.add(pauseMs);
      histogram.recordValue(Math.round(pauseMs * 1000));
      bytesSent += result.path("bytes_sent").asLong();
      firstRoundBytes += result.at("/rounds/0/bytes").asDouble();
      firstRoundMs += result.at("/rounds/0/ms").asDouble();
      predictionErrorMs += Math.abs(result.path("predicted_pause_ms").asDouble() - pauseMs);
    }
    console.endLine();
    end(cluster, workload, "writer-" + size);
    ObjectNode result = Json.object().put("size_bytes", size).put("moves", moves);
    result
        .putObject("pause_ms")
        .put("p50", histogram.getValueAtPercentile(50) / 1000.0)
        .put("p95", histogram.getValueAtPercentile(95) / 1000.0)
        .put("max", histogram.getMaxValue() / 1000.0);
    result.put("throughput_bytes_per_s", firstRoundMs > 0 ? Math.round(firstRoundBytes / firstRoundMs * 1000) : 0);
    result.put("bytes_sent", bytesSent / moves).put("prediction_error_ms", Json.round(predictionErrorMs / moves));
    var all = result.putArray("pauses_ms");
    pauses.forEach(all::add);
    return result;
  }

  /** What a program that does nothing costs, against what it has. */
  private ObjectNode idle(LocalCluster cluster, long size) {
    console.note("gantry: an idle program …");
    Workload workload = Workload.start(cluster, "idle", PageWriter.class, Long.toString(size), "0", "1000", LIFE_SECONDS);
    long nonZeroBytes;
    try {
      var containers = cluster.members().getFirst().client().call(ControlClient.request("ps")).path("containers");
      nonZeroBytes = NonZeroMemory.bytes(containers.get(0).path("init_pid").asLong());
    } catch (IOException failure) {
      throw new CommandException(ExitCode.FAILED, "The idle program's memory cannot be counted: " + failure.getMessage(), failure);
    }
    ObjectNode moved = completed(workload.move(Json.object(), progress -> {}));
    end(cluster, workload, "idle");
    long sent = moved.path("bytes_sent").asLong();
    return Json.object()
        .put("size_bytes", size)
        .put("non_zero_bytes", nonZeroBytes)
        .put("bytes_sent", sent)
        .put("ratio", Json.round((double) sent / Math.max(1, nonZeroBytes)));
  }

  private static void end(LocalCluster cluster, Workload workload, String container) {
    workload.requestEnd();
    cluster.stop(container);
  }

  private static ObjectNode completed(ObjectNode result) {
    ExitCode code = MigrationText.exitCode(result);
    if (code != ExitCode.OK) {
      throw new CommandException(code, MigrationText.summary(result));
    }
    return result;
  }
}
