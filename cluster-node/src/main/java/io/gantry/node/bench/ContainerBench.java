package io.gantry.node.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import io.gantry.node.cli.Console;
import io.gantry.node.cli.MigrationText;
import io.gantry.node.cli.ProgressLine;
import io.gantry.node.control.ControlClient;
import io.gantry.node.demo.LocalCluster;
import io.gantry.node.demo.Temporary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.HdrHistogram.Histogram;

/**
 * Measures a web server in a container of runc with 64 MiB and an address of its own, to which 200 clients outside keep their
 * connections: how long it stands still, and how long
 * a client waits. Used once.
 */
public final class ContainerBench {
  /** Most milliseconds that the container stands still, at the median. */
  static final double PAUSE_P50_MS_MAX = 60;

  /** Most milliseconds that any client waits for an answer. */
  static final double STALL_MS_MAX = 250;

  static final int CLIENTS = 200;

  /** From an answer to the next question: 2,000 questions a second in all. */
  private static final int EVERY_MS = 100;

  private static final int ANSWERS_BEFORE = 3;
  private static final int ANSWERS_AFTER = 4;
  private static final int CRIU_MOVES_MAX = 5;
  private static final String NAME = "bench-web";

  private final Console console;
  private final int moves;
  private final Optional<Path> criu;

  /**
   * @param moves how often the container moves, at least 1
   * @param criu CRIU's program, to measure the same through {@code runc checkpoint} and {@code runc restore}
   */
  public ContainerBench(Console console, int moves, Optional<Path> criu) {
    this.console = console;
    this.moves = moves;
    this.criu = criu;
  }

  /** {@code machine, clients, resident_bytes, moves, pause_ms {}, stall_ms {p50, max}, connections_lost, criu {}}. */
  public ObjectNode run() {
    requirePrograms();
    criu.ifPresent(CriuRun::requireUsable);
    try (var temporary = Temporary.directory("gantry-bench-");
        var network = BenchNetwork.create();
        var host = SecondHost.create(temporary.path())) {
      ObjectNode report = Json.object();
      report.set("machine", Machine.describe());
      Path configuration = Files.writeString(temporary.path().resolve("node.conf"), "gantry.runtime-root = runtime\n");
      var arguments = List.of("--config", configuration.toString());
      var second = new ArrayList<>(network.node(1));
      second.addAll(host.command());
      var places =
          List.of(
              new LocalCluster.Place("alpha", network.address(0), network.node(0), arguments),
              new LocalCluster.Place("beta", network.address(1), second, arguments));
      try (LocalCluster cluster = LocalCluster.start(places)) {
        Path bundle = NginxBundle.make(temporary.path().resolve("bundle"), cluster.mark());
        measure(cluster, network, bundle, report);
        if (criu.isPresent()) {
          console.note("gantry: runc with CRIU …");
          report.set("criu", compare(criu.get(), bundle, Files.createDirectory(temporary.path().resolve("criu")), network));
        } else {
          report.putNull("criu");
        }
      }
      return report;
    } catch (IOException failure) {
      throw new CommandException(ExitCode.FAILED, "The container cannot be prepared: " + failure.getMessage(), failure);
    }
  }

  private static void requirePrograms() {
    for (String program : List.of("/usr/sbin/runc", "/usr/sbin/nginx")) {
      if (!Files.isExecutable(Path.of(program))) {
        throw new CommandException(ExitCode.NOT_FOUND, "This needs " + program + "; install the packages runc and nginx-light.");
      }
    }
  }

  private void measure(LocalCluster cluster, BenchNetwork network, Path bundle, ObjectNode report) {
    cluster.runBundle(NAME, bundle);
    // Microseconds, up to a minute, three digits.
    var pauses = new Histogram(60_000_000L, 3);
    var stalls = new Histogram(60_000_000L, 3);
    var all = report.put("clients", CLIENTS).put("moves", moves).putArray("pauses_ms");
    var stalled = report.putArray("stalls_ms");
    JsonNode phases = Json.object();
    long lost = 0;
    try (var clients = ClientProcess.start(network.client(), BenchNetwork.CONTAINER, CLIENTS, EVERY_MS, cluster.directory().resolve("clients.log"))) {
      JsonNode described = cluster.members().getFirst().client().call(ControlClient.request("describe").put("container", NAME));
      report.put("resident_bytes", residentBytes(described));
      for (int move = 1; move <= moves; move++) {
        var line = new ProgressLine(console, "nginx, move " + move + "/" + moves + "  ");
        clients.awaitAnswers(ANSWERS_BEFORE);
        clients.begin();
        int from = (move - 1) % 2;
        ObjectNode request = ControlClient.request("migrate").put("container", NAME).put("to", cluster.members().get(1 - from).name());
        ObjectNode moved = cluster.members().get(from).client().call(request, line::show);
        ExitCode code = MigrationText.exitCode(moved);
        if (code != ExitCode.OK) {
          throw new CommandException(code, MigrationText.summary(moved));
        }
        clients.awaitAnswers(ANSWERS_AFTER);
        pauses.recordValue(Math.round(moved.path("pause_ms").asDouble() * 1000));
        stalls.recordValue(Math.round(clients.longestMs() * 1000));
        all.add(Json.round(moved.path("pause_ms").asDouble()));
        stalled.add(Json.round(clients.longestMs()));
        lost += clients.errors();
        phases = moved.path("phases_ms");
      }
    }
    console.endLine();
    cluster.stop(NAME);
    percentiles(report.putObject("pause_ms"), pauses);
    percentiles(report.putObject("stall_ms"), stalls);
    report.put("connections_lost", lost);
    report.set("last_phases_ms", phases);
  }

  private static void percentiles(ObjectNode into, Histogram histogram) {
    into.put("p50", histogram.getValueAtPercentile(50) / 1000.0)
        .put("p95", histogram.getValueAtPercentile(95) / 1000.0)
        .put("max", histogram.getMaxValue() / 1000.0);
  }

  /** Of all processes. */
  private static long residentBytes(JsonNode described) {
    long bytes = 0;
    for (JsonNode process : described.path("processes")) {
      try {
        for (String line : Files.readAllLines(Path.of("/proc/" + process.path("pid").asLong() + "/status"))) {
          bytes += line.startsWith("RssAnon:") ? Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024 : 0;
        }
      } catch (IOException ended) {
        continue;
      }
    }
    return bytes;
  }

  private ObjectNode compare(Path program, Path bundle, Path work, BenchNetwork network) {
    ObjectNode report = Json.object();
    var sums = new Histogram(60_000_000L, 3);
    var stalls = new Histogram(60_000_000L, 3);
    var steps = report.putArray("steps_ms");
    long lost = 0;
    try (var runc = new RuncCriu(program, bundle, work, network)) {
      runc.start();
      int times = Math.min(moves, CRIU_MOVES_MAX);
      for (int move = 1; move <= times; move++) {
        // New ones for each move: some of the connections do not survive.
        try (var clients = ClientProcess.start(network.client(), BenchNetwork.CONTAINER, CLIENTS, EVERY_MS, work.resolve("clients.log"))) {
          clients.awaitAnswers(ANSWERS_BEFORE);
          clients.begin();
          RuncCriu.Steps took = runc.move();
          clients.awaitAnswers(ANSWERS_AFTER);
          sums.recordValue(Math.round(took.sumMs() * 1000));
          stalls.recordValue(Math.round(clients.longestMs() * 1000));
          lost += clients.errors();
          steps.addObject()
              .put("checkpoint", Json.round(took.checkpointMs()))
              .put("copy", Json.round(took.copyMs()))
              .put("restore", Json.round(took.restoreMs()));
        }
      }
      report.put("moves", times);
      percentiles(report.putObject("sum_ms"), sums);
      percentiles(report.putObject("stall_ms"), stalls);
      report.put("connections_lost", lost);
    } catch (RuncCriu.Failure failure) {
      report.put("error", failure.getMessage());
    }
    return report;
  }

  /** One sentence per bound that a report misses; empty when all hold. */
  public static List<String> missed(ObjectNode report) {
    var missed = new ArrayList<String>();
    double p50 = report.at("/pause_ms/p50").asDouble();
    double stall = report.at("/stall_ms/max").asDouble();
    long lost = report.path("connections_lost").asLong();
    if (p50 > PAUSE_P50_MS_MAX) {
      missed.add(String.format(Locale.ROOT, "The median pause of the container is %.1f ms and must be at most %.0f ms.", p50, PAUSE_P50_MS_MAX));
    }
    if (stall > STALL_MS_MAX) {
      missed.add(String.format(Locale.ROOT, "A client waited for %.1f ms and must wait for at most %.0f ms.", stall, STALL_MS_MAX));
    }
    if (lost > 0) {
      missed.add(lost + " connections were lost and none may be.");
    }
    return missed;
  }
}
