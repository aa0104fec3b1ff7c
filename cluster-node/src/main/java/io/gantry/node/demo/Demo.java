package io.gantry.node.demo;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import io.gantry.node.Units;
import io.gantry.node.cli.Console;
import io.gantry.node.cli.MigrationText;
import io.gantry.node.cli.ProgressLine;
import io.gantry.node.cli.Table;
import io.gantry.node.workload.SelfCheckingProgram;
import java.util.Optional;

/** The demo from beginning to end. Used once. */
public final class Demo {
  private static final String CONTAINER = "demo";

  private final Console console;
  private final long memoryBytes;
  private final int moves;
  private final Style style;

  /**
   * @param memoryBytes what the program holds
   * @param moves how many times it moves, to and fro
   */
  public Demo(Console console, long memoryBytes, int moves) {
    this.console = console;
    this.memoryBytes = memoryBytes;
    this.moves = moves;
    style = new Style(console.outHasColour());
  }

  /** Runs it. Whatever happens, everything it started is gone when it returns. */
  public ExitCode run() {
    Optional<LocalCluster> started = Optional.empty();
    try {
      progress("starting two nodes (each moves a throwaway process to warm up) …");
      long beganNs = System.nanoTime();
      LocalCluster cluster = LocalCluster.start("alpha", "beta");
      started = Optional.of(cluster);
      for (LocalCluster.Member member : cluster.members()) {
        console.text(
            style.good("●") + " node " + style.strong(member.name()) + " on " + member.address() + ", process " + member.process().pid());
      }
      console.text(style.faint("  a cluster of two after " + Units.millis((System.nanoTime() - beganNs) / 1e6)));
      return move(cluster);
    } catch (RuntimeException failure) {
      if (started.map(LocalCluster::isClosing).orElse(false)) {
        awaitEndOfProcess();
      }
      throw failure;
    } finally {
      progress("removing everything …");
      started.ifPresent(LocalCluster::close);
      console.endLine();
    }
  }

  private ExitCode move(LocalCluster cluster) {
    progress("starting a program that holds " + Units.bytes(memoryBytes) + " …");
    Workload workload = Workload.start(cluster, CONTAINER, SelfCheckingProgram.class, Long.toString(memoryBytes));
    console.text(
        style.good("●") + " a program on " + style.strong(workload.node()) + " holds " + Units.bytes(memoryBytes)
            + " and checks memory, file, timers and threads all the time");
    console.text("");
    ArrayNode results = Json.array();
    ExitCode code = ExitCode.OK;
    for (int number = 1; number <= moves && code == ExitCode.OK; number++) {
      var line = new ProgressLine(console, "move " + number + "/" + moves + " from " + workload.node() + "  ");
      ObjectNode result = workload.move(Json.object(), line::show);
      results.add(result);
      code = MigrationText.exitCode(result);
      console.endLine();
      if (code != ExitCode.OK) {
        console.text(style.bad("✗") + " " + MigrationText.summary(result));
      } else {
        console.text(
            style.good("✓") + " move " + number + ": " + result.path("from").asText() + " → " + result.path("to").asText() + ", "
                + style.strong("paused " + Units.millis(result.path("program_pause_ms").asDouble())));
      }
    }
    progress("asking the program for its verdict (it looks at every page once more) …");
    WorkloadStatus verdict = workload.end();
    ObjectNode object = Json.object();
    object.set("moves", results);
    object.putObject("workload")
        .put("memory_bytes", memoryBytes)
        .put("max_gap_ms", Json.round(verdict.longestGapMs()))
        .put("checks", verdict.checks())
        .put("errors", verdict.errors())
        .put("first_error", verdict.firstError());
    if (code == ExitCode.OK && verdict.errors() > 0) {
      code = ExitCode.CHECK_FAILED;
    }
    object.put("ok", code == ExitCode.OK);
    console.result(object, "\n" + table(results) + "\n\n" + text(verdict, code));
    return code;
  }

  private String table(ArrayNode results) {
    var table = new Table("MOVE", ">ROUNDS", ">PAGES", ">SENT", ">RATE", ">PREDICTED", ">PAUSE", ">TOTAL");
    for (var result : results) {
      long pages = 0;
      double roundMs = 0;
      double roundBytes = 0;
      for (var round : result.path("rounds")) {
        pages += round.path("pages").asLong();
        roundMs += round.path("ms").asDouble();
        roundBytes += round.path("bytes").asDouble();
      }
      table.row(
          result.path("from").asText() + " → " + result.path("to").asText(),
          Integer.toString(result.path("rounds").size()),
          Units.count(pages),
          Units.bytes(result.path("bytes_sent").asDouble()),
          roundMs > 0 ? Units.bytes(roundBytes / roundMs * 1000) + "/s" : "–",
          Units.millis(result.path("predicted_pause_ms").asDouble()),
          Units.millis(result.path("program_pause_ms").asDouble()),
          Units.millis(result.path("total_ms").asDouble()));
    }
    return table.toString();
  }

  private String text(WorkloadStatus verdict, ExitCode code) {
    String checks = Units.count(verdict.checks()) + " checks, " + Units.count(verdict.errors()) + " errors, longest gap "
        + Units.millis(verdict.longestGapMs()) + " by its own clock.";
    if (code == ExitCode.OK) {
      return style.good("The program noticed nothing but the pauses: ") + checks;
    }
    return style.bad("The program is not content: ") + checks + (verdict.firstError().isEmpty() ? "" : " First: " + verdict.firstError());
  }

  private void progress(String what) {
    if (console.errIsTerminal()) {
      console.live(what);
    } else {
      console.note("gantry: " + what);
    }
  }

  /** The process is ending and its hook is cleaning up: there is nothing more to say. */
  private static void awaitEndOfProcess() {
    try {
      Thread.currentThread().join();
    } catch (InterruptedException ended) {
      Thread.currentThread().interrupt();
    }
  }

  /** Colours where there are colours (ECMA-48 SGR). */
  private record Style(boolean colour) {
    private String in(String code, String text) {
      return colour ? "\u001b[" + code + "m" + text + "\u001b[0m" : text;
    }

    String strong(String text) {
      return in("1", text);
    }

    String faint(String text) {
      return in("2", text);
    }

    String good(String text) {
      return in("32", text);
    }

    String bad(String text) {
      return in("31", text);
    }
  }
}
