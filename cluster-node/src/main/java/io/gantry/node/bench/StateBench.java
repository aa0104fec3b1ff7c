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
import io.gantry.node.demo.Workload;
import io.gantry.node.workload.ManyThreads;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntFunction;
import org.HdrHistogram.Histogram;

/** Measures pauses of containers that have little memory and much of everything else. Used once. */
public final class StateBench {
  /** Most milliseconds at the median for {@link #PROCESSES} processes with {@link #DESCRIPTORS} descriptors each. */
  static final double PROCESSES_P50_MS_MAX = 100;

  /** Most milliseconds at the median for {@link #THREADS} threads of one process. */
  static final double THREADS_P50_MS_MAX = 150;

  static final int PROCESSES = 100;
  static final int DESCRIPTORS = 50;
  static final int THREADS = 2000;

  private static final String LIFE_SECONDS = "7200";
  private static final Duration READY_MAX = Duration.ofSeconds(120);
  private static final long LOOK_NS = 50_000_000;

  /**
   * A process and its children, each with files at positions of their own, pipes that all of them share, and a device. Only what every Debian has: a
   * shell whose descriptors may have more than one digit.
   */
  private static final String TREE =
      """
      cd "$0"
      for p in 0 1 2 3 4 5 6 7 8 9; do mkfifo "fifo-$p"; eval "exec 4$p<>fifo-$p"; done
      for d in 3 4 5 6 7 8 9 50 51 52; do eval "exec $d</dev/null"; done
      open() { for d in {10..36}; do echo "$1 $d" >> "file-$1-$d"; eval "exec $d<>file-$1-$d"; done; }
      for ((i = 1; i < $1; i++)); do ( open $i; exec sleep $2 ) & done
      open 0
      exec sleep $2
      """;

  private final Console console;
  private final int moves;

  /** @param moves how often each container moves, at least 1 */
  public StateBench(Console console, int moves) {
    this.console = console;
    this.moves = moves;
  }

  /** {@code machine, results [{what, processes, threads, descriptors, moves, pause_ms {p50, p95, max}, pauses_ms [], last_phases_ms {}}]}. */
  public ObjectNode run() {
    ObjectNode report = Json.object();
    report.set("machine", Machine.describe());
    var results = report.putArray("results");
    try (LocalCluster cluster = LocalCluster.start("alpha", "beta")) {
      results.add(processes(cluster));
      results.add(threads(cluster));
    }
    return report;
  }

  /** One sentence per bound that a report misses; empty when all hold. */
  public static List<String> missed(ObjectNode report) {
    var missed = new ArrayList<String>();
    for (JsonNode result : report.path("results")) {
      double most = result.path("what").asText().equals("processes") ? PROCESSES_P50_MS_MAX : THREADS_P50_MS_MAX;
      double p50 = result.at("/pause_ms/p50").asDouble();
      if (p50 > most) {
        missed.add(
            String.format(
                Locale.ROOT, "The median pause of %d processes with %d threads and %d descriptors is %.1f ms and must be at most %.0f ms.",
                result.path("processes").asInt(), result.path("threads").asInt(), result.path("descriptors").asInt(), p50, most));
      }
    }
    return missed;
  }

  private ObjectNode processes(LocalCluster cluster) {
    Path directory = cluster.directory().resolve("work-tree");
    try {
      Files.createDirectory(directory);
    } catch (IOException failure) {
      throw new CommandException(ExitCode.FAILED, "The programs' directory cannot be made: " + failure.getMessage(), failure);
    }
    var command = List.of("/bin/bash", "-c", TREE, directory.toString(), Integer.toString(PROCESSES), LIFE_SECONDS);
    cluster.run("tree", command, directory);
    Census wanted = awaitComplete(cluster);
    ObjectNode result =
        measure(
            "processes",
            move -> {
              int from = (move - 1) % 2;
              ObjectNode request =
                  ControlClient.request("migrate").put("container", "tree").put("to", cluster.members().get(1 - from).name());
              return cluster.members().get(from).client().call(request);
            });
    Census found = census(cluster, moves % 2);
    if (!found.equals(wanted)) {
      throw new CommandException(ExitCode.FAILED, "After " + moves + " moves there are " + found + " and there were " + wanted + ".");
    }
    cluster.stop("tree");
    return wanted.into(result);
  }

  private record Census(int processes, int threads, int descriptors) {
    ObjectNode into(ObjectNode result) {
      return result.put("processes", processes).put("threads", threads).put("descriptors", descriptors);
    }
  }

  private static Census awaitComplete(LocalCluster cluster) {
    long endNs = System.nanoTime() + READY_MAX.toNanos();
    Census seen = census(cluster, 0);
    while (seen.processes() != PROCESSES || seen.descriptors() != PROCESSES * DESCRIPTORS) {
      if (System.nanoTime() > endNs) {
        throw new CommandException(
            ExitCode.FAILED, "The tree of " + PROCESSES + " processes was not complete after " + READY_MAX.toSeconds() + " s: " + seen + ".");
      }
      LockSupport.parkNanos(LOOK_NS);
      seen = census(cluster, 0);
    }
    return seen;
  }

  private static Census census(LocalCluster cluster, int member) {
    JsonNode described = cluster.members().get(member).client().call(ControlClient.request("describe").put("container", "tree"));
    int processes = 0;
    int threads = 0;
    int descriptors = 0;
    for (JsonNode process : described.path("processes")) {
      String[] open = Path.of("/proc/" + process.path("pid").asLong() + "/fd").toFile().list();
      processes++;
      threads += process.path("threads").asInt();
      descriptors += open == null ? 0 : open.length;
    }
    return new Census(processes, threads, descriptors);
  }

  private ObjectNode threads(LocalCluster cluster) {
    Workload workload = Workload.start(cluster, "threads", ManyThreads.class, Integer.toString(THREADS), LIFE_SECONDS);
    ObjectNode result = measure("threads", move -> workload.move(Json.object(), progress -> {}));
    workload.requestEnd();
    cluster.stop("threads");
    return result.put("processes", 1).put("threads", THREADS);
  }

  /** The pause is that of the move itself, from the first stop until the source knew that the copy runs: the programs here sleep. */
  private ObjectNode measure(String what, IntFunction<ObjectNode> moveOnce) {
    // Microseconds, up to a minute, three digits.
    var histogram = new Histogram(60_000_000L, 3);
    ObjectNode result = Json.object().put("what", what).put("moves", moves);
    var all = result.putArray("pauses_ms");
    JsonNode phases = Json.object();
    for (int move = 1; move <= moves; move++) {
      var line = new ProgressLine(console, what + ", move " + move + "/" + moves + "  ");
      ObjectNode moved = moveOnce.apply(move);
      ExitCode code = MigrationText.exitCode(moved);
      if (code != ExitCode.OK) {
        throw new CommandException(code, MigrationText.summary(moved));
      }
      line.show(moved);
      double pauseMs = moved.path("pause_ms").asDouble();
      histogram.recordValue(Math.round(pauseMs * 1000));
      all.add(Json.round(pauseMs));
      phases = moved.path("phases_ms");
    }
    console.endLine();
    result
        .putObject("pause_ms")
        .put("p50", histogram.getValueAtPercentile(50) / 1000.0)
        .put("p95", histogram.getValueAtPercentile(95) / 1000.0)
        .put("max", histogram.getMaxValue() / 1000.0);
    result.set("last_phases_ms", phases);
    return result;
  }
}
