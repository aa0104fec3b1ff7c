package io.gantry.node.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.Units;
import io.gantry.node.bench.Bounds;
import io.gantry.node.bench.ContainerBench;
import io.gantry.node.bench.PauseBench;
import io.gantry.node.bench.StateBench;
import io.gantry.node.bench.StreamBench;
import io.gantry.node.daemon.Privileges;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;

/** Measures. */
@Command(
    name = "bench",
    header = "Measures this machine with this program.",
    subcommands = {BenchCommand.Pause.class, BenchCommand.State.class, BenchCommand.Container.class, BenchCommand.Stream.class},
    synopsisSubcommandLabel = "(pause | state | container | stream)",
    footer = "  gantry bench pause --sizes 64M,1G,4G --moves 20 --json")
final class BenchCommand extends Subcommand {
  @Override
  ExitCode run(Console console) {
    throw usage("Say what to measure: gantry bench pause, gantry bench state, gantry bench container, or gantry bench stream.");
  }

  private static long size(Subcommand command, String option, String text) {
    try {
      long bytes = Units.parseBytes(text);
      if (bytes < 1 << 20) {
        throw command.usage(option + " must be at least 1M.");
      }
      return bytes;
    } catch (IllegalArgumentException mistake) {
      throw command.usage(option + ": " + mistake.getMessage());
    }
  }

  /** Pauses. */
  @Command(
      name = "pause",
      header = "Moves a program that writes all the time, and reports the pauses by its own clock.",
      description = {
        "The program dirties 500 random pages every 10 ms. Two nodes run on 127.0.0.2 and 127.0.0.3. A raw Aeron stream with the same"
            + " settings is measured in the same run, to compare the rate of pages with.",
      },
      exitCodeListHeading = "%nExit codes:%n",
      exitCodeList = {"0:measured", "8:not root", "11:--assert was given and a bound is missed"},
      footer = "  gantry bench pause --sizes 64M,1G,4G --moves 20 --json --assert")
  static final class Pause extends Subcommand {
    @Option(
        names = "--sizes",
        paramLabel = "SIZE",
        split = ",",
        defaultValue = "64M,1G,4G",
        description = "What the program holds, commas between (${DEFAULT-VALUE}).")
    List<String> sizes;

    @Option(names = "--moves", paramLabel = "N", defaultValue = "20", description = "Moves for each size (${DEFAULT-VALUE}).")
    int moves;

    @Option(names = "--against-criu", paramLabel = "PATH", description = "Also measure dump plus restore of the same program by this criu.")
    Path criu;

    @Option(names = "--assert", description = "Fail when a bound that is promised in docs/performance.md is missed.")
    boolean check;

    @Override
    ExitCode run(Console console) {
      if (moves < 1 || moves > 10_000) {
        throw usage("--moves must be 1 to 10000.");
      }
      var bytes = new ArrayList<Long>();
      sizes.forEach(text -> bytes.add(size(this, "--sizes", text)));
      Privileges.requireRoot("gantry bench pause", "it starts two nodes, and these stop, read and create processes");
      ObjectNode report = new PauseBench(console, bytes, moves, Optional.ofNullable(criu).map(Path::toAbsolutePath)).run();
      List<String> missed = Bounds.missed(report);
      var sentences = report.putArray("missed");
      missed.forEach(sentences::add);
      console.result(report, text(report) + (missed.isEmpty() ? "" : "\n" + String.join("\n", missed)));
      return check && !missed.isEmpty() ? ExitCode.CHECK_FAILED : ExitCode.OK;
    }

    private static String text(ObjectNode report) {
      var table = new Table(">SIZE", ">MOVES", ">P50", ">P95", ">MAX", ">RATE", ">RAW STREAM", ">SENT", ">CRIU");
      for (JsonNode result : report.path("results")) {
        table.row(
            Units.bytes(result.path("size_bytes").asDouble()),
            result.path("moves").asText(),
            Units.millis(result.at("/pause_ms/p50").asDouble()),
            Units.millis(result.at("/pause_ms/p95").asDouble()),
            Units.millis(result.at("/pause_ms/max").asDouble()),
            Units.bytes(result.path("throughput_bytes_per_s").asDouble()) + "/s",
            Units.bytes(result.path("raw_stream_bytes_per_s").asDouble()) + "/s",
            Units.bytes(result.path("bytes_sent").asDouble()),
            result.path("criu_pause_ms").isNull() ? "–" : Units.millis(result.path("criu_pause_ms").asDouble()));
      }
      JsonNode idle = report.path("idle");
      return table + "\nAn idle program of " + Units.bytes(idle.path("non_zero_bytes").asDouble()) + " cost "
          + Units.bytes(idle.path("bytes_sent").asDouble()) + ".";
    }
  }

  /** Kernel objects. */
  @Command(
      name = "state",
      header = "Moves containers that have little memory and much of everything else, and reports their pauses.",
      description = {
        "A tree of 100 processes with 50 descriptors each, and one process with 2,000 threads. Two nodes run on 127.0.0.2 and 127.0.0.3.",
      },
      exitCodeListHeading = "%nExit codes:%n",
      exitCodeList = {"0:measured, and both bounds hold", "8:not root", "11:a bound is missed"},
      footer = "  gantry bench state --moves 20 --json")
  static final class State extends Subcommand {
    @Option(names = "--moves", paramLabel = "N", defaultValue = "20", description = "Moves of each container (${DEFAULT-VALUE}).")
    int moves;

    @Override
    ExitCode run(Console console) {
      if (moves < 1 || moves > 10_000) {
        throw usage("--moves must be 1 to 10000.");
      }
      Privileges.requireRoot("gantry bench state", "it starts two nodes, and these stop, read and create processes");
      ObjectNode report = new StateBench(console, moves).run();
      List<String> missed = StateBench.missed(report);
      var sentences = report.putArray("missed");
      missed.forEach(sentences::add);
      var table = new Table("WHAT", ">PROCESSES", ">THREADS", ">MOVES", ">P50", ">P95", ">MAX");
      for (JsonNode result : report.path("results")) {
        table.row(
            result.path("what").asText(),
            result.path("processes").asText(),
            result.path("threads").asText(),
            result.path("moves").asText(),
            Units.millis(result.at("/pause_ms/p50").asDouble()),
            Units.millis(result.at("/pause_ms/p95").asDouble()),
            Units.millis(result.at("/pause_ms/max").asDouble()));
      }
      console.result(report, table + (missed.isEmpty() ? "" : "\n" + String.join("\n", missed)));
      return missed.isEmpty() ? ExitCode.OK : ExitCode.CHECK_FAILED;
    }
  }

  /** A web server of an OCI runtime. */
  @Command(
      name = "container",
      header = "Moves nginx in a container of runc that has an address of its own, under 200 clients outside that keep their connections.",
      description = {
        "The container holds 64 MiB. Each client asks for 4 KiB, and again 100 ms after each answer. Two nodes and the clients are in network namespaces of their own. Reported are"
            + " how long the container stands still, and the longest that any client waits from its question to the whole answer.",
      },
      exitCodeListHeading = "%nExit codes:%n",
      exitCodeList = {"0:measured, and all bounds hold", "3:runc, nginx or the CRIU to compare with is missing", "8:not root", "11:a bound is missed"},
      footer = "  gantry bench container --moves 20 --json --against-criu PATH")
  static final class Container extends Subcommand {
    @Option(names = "--moves", paramLabel = "N", defaultValue = "20", description = "Moves of the container (${DEFAULT-VALUE}).")
    int moves;

    @Option(
        names = "--against-criu",
        paramLabel = "PATH",
        description = {
          "Also measure runc checkpoint, a copy of the images and runc restore of the same container, with this criu. From Linux 6.16 on that needs CRIU 4.2 or"
              + " later, and always iptables."
        })
    Path criu;

    @Override
    ExitCode run(Console console) {
      if (moves < 1 || moves > 10_000) {
        throw usage("--moves must be 1 to 10000.");
      }
      Privileges.requireRoot("gantry bench container", "it starts two nodes, and these stop, read and create processes");
      ObjectNode report = new ContainerBench(console, moves, Optional.ofNullable(criu).map(Path::toAbsolutePath)).run();
      List<String> missed = ContainerBench.missed(report);
      var sentences = report.putArray("missed");
      missed.forEach(sentences::add);
      console.result(report, text(report) + (missed.isEmpty() ? "" : "\n" + String.join("\n", missed)));
      return missed.isEmpty() ? ExitCode.OK : ExitCode.CHECK_FAILED;
    }

    private static String text(ObjectNode report) {
      var table = new Table("MOVED BY", ">MOVES", ">PAUSE P50", ">P95", ">MAX", ">STALL P50", ">MAX", ">LOST");
      row(table, "gantry", "pause_ms", report);
      JsonNode criu = report.path("criu");
      if (criu.has("sum_ms")) {
        row(table, "runc with CRIU", "sum_ms", criu);
      }
      return table + (criu.has("error") ? "\nNot measured with CRIU: " + criu.path("error").asText() : "");
    }

    private static void row(Table table, String who, String pause, JsonNode result) {
      table.row(
          who,
          result.path("moves").asText(),
          Units.millis(result.path(pause).path("p50").asDouble()),
          Units.millis(result.path(pause).path("p95").asDouble()),
          Units.millis(result.path(pause).path("max").asDouble()),
          Units.millis(result.at("/stall_ms/p50").asDouble()),
          Units.millis(result.at("/stall_ms/max").asDouble()),
          result.path("connections_lost").asText());
    }
  }

  /** Streams. */
  @Command(
      name = "stream",
      header = "Measures the streams that carry pages, between two processes on this machine.",
      exitCodeListHeading = "%nExit codes:%n",
      exitCodeList = {"0:measured"},
      footer = "  gantry bench stream --bytes 4G")
  static final class Stream extends Subcommand {
    @Option(names = "--bytes", paramLabel = "SIZE", defaultValue = "2G", description = "Bytes of each run (${DEFAULT-VALUE}).")
    String bytes;

    @Override
    ExitCode run(Console console) throws ParameterException {
      long length = size(this, "--bytes", bytes);
      try (var bench = new StreamBench()) {
        ObjectNode report = bench.measure(length);
        console.result(
            report,
            new Table("STREAM", ">RATE")
                .row("raw Aeron", Units.bytes(report.path("raw_bytes_per_s").asDouble()) + "/s")
                .row("pages", Units.bytes(report.path("pages_bytes_per_s").asDouble()) + "/s")
                .row("pages, sealed", Units.bytes(report.path("sealed_bytes_per_s").asDouble()) + "/s")
                .toString());
        return ExitCode.OK;
      }
    }
  }
}
