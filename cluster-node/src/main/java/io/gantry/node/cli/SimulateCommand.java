package io.gantry.node.cli;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import io.gantry.node.Units;
import io.gantry.simulation.fault.Coverage;
import io.gantry.simulation.fault.FaultKind;
import io.gantry.simulation.mutation.Mutation;
import io.gantry.simulation.mutation.Mutations;
import io.gantry.simulation.run.Exploration;
import io.gantry.simulation.run.RunResult;
import io.gantry.simulation.run.RunSettings;
import io.gantry.simulation.run.Shrinker;
import io.gantry.simulation.run.Timeline;
import io.gantry.simulation.scenario.Scenario;
import io.gantry.simulation.scenario.ScenarioText;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Looks for a mistake in the protocol, or for what moves would cost. */
@Command(
    name = "simulate",
    header = "Runs whole clusters on virtual time with injected failures, or a scenario for its figures.",
    description = {
      "The real actors decide; engines, disks, links and time are simulated, all in one thread. After every step the invariants of"
          + " docs/protocol.md are checked. A seed that breaks one is shrunk to the fewest faults that still do, and shown.",
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:no invariant was broken, and a large run has met every fault in every phase",
      "2:an unknown fault or mutation, or a scenario that cannot be read",
      "11:an invariant was broken, or a large run has missed a fault in a phase"
    },
    footer = {
      "  gantry simulate --seeds 1000000 --json",
      "  gantry simulate --replay 4711 --trace",
      "  gantry simulate --scenario rack.txt --plot rack.svg"
    })
final class SimulateCommand extends Subcommand {
  /** So many seeds of the standard run meet every pair several times over; fewer may miss one by chance. */
  private static final long SEEDS_FOR_COVERAGE = 50_000;

  private static final int FAILURES_SHOWN = 3;

  @Option(names = "--seeds", paramLabel = "N", defaultValue = "10000", description = "How many runs (${DEFAULT-VALUE}).")
  long seeds;

  @Option(names = "--first-seed", paramLabel = "SEED", defaultValue = "1", description = "The first of them (${DEFAULT-VALUE}).")
  long first;

  @Option(names = "--nodes", paramLabel = "N", defaultValue = "2", description = "Nodes in each run (${DEFAULT-VALUE}).")
  int nodes;

  @Option(names = "--containers", paramLabel = "N", defaultValue = "2", description = "Containers in each run (${DEFAULT-VALUE}).")
  int containers;

  @Option(names = "--moves", paramLabel = "N", defaultValue = "2", description = "Moves of each container (${DEFAULT-VALUE}).")
  int moves;

  @Option(
      names = "--faults",
      paramLabel = "LIST",
      split = ",",
      defaultValue = "all",
      description = "What may go wrong, commas between; all, none, or names as in docs/simulation.md (${DEFAULT-VALUE}).")
  List<String> faults;

  @Option(
      names = "--mutation",
      paramLabel = "NAME",
      description = "Put a known mistake into the protocol, to see that it is found; see docs/simulation.md.")
  String mutation;

  @Option(names = "--replay", paramLabel = "SEED", description = "Run this seed alone and show what happens.")
  Long replay;

  @Option(names = "--trace", description = "Show every step of a replay, not only what matters.")
  boolean trace;

  @Option(names = "--scenario", paramLabel = "FILE", description = "Run a scenario and report what its moves cost.")
  Path scenario;

  @Option(names = "--csv", paramLabel = "FILE", description = "Write a scenario's moves there.")
  Path csv;

  @Option(names = "--plot", paramLabel = "FILE", description = "Draw a scenario's distributions there, as SVG.")
  Path plot;

  @Override
  ExitCode run(Console console) {
    // Failures are what this is about; the actors' own words about each would bury the result.
    ((Logger) LoggerFactory.getLogger("io.gantry.actors")).setLevel(Level.OFF);
    ((Logger) LoggerFactory.getLogger("akka")).setLevel(Level.OFF);
    if (scenario != null) {
      return runScenario(console);
    }
    var settings = settings();
    return replay == null ? explore(console, settings) : replay(console, settings, replay);
  }

  private RunSettings settings() {
    if (seeds < 1) {
      throw usage("--seeds must be at least 1.");
    }
    if (nodes < 2 || containers < 1 || moves < 1) {
      throw usage("A run needs at least two nodes, one container and one move.");
    }
    var wrong =
        mutation == null
            ? Mutation.NONE
            : Mutations.named(mutation)
                .orElseThrow(
                    () ->
                        usage(
                            "--mutation: '" + mutation + "' is none of "
                                + Mutations.all().stream().map(Mutation::name).collect(Collectors.joining(", ")) + "."));
    return RunSettings.exploring().withNodes(nodes).withContainers(containers, moves).withFaults(kinds()).withMutation(wrong);
  }

  private Set<FaultKind> kinds() {
    if (faults.equals(List.of("all"))) {
      return EnumSet.allOf(FaultKind.class);
    }
    var kinds = EnumSet.noneOf(FaultKind.class);
    if (!faults.equals(List.of("none"))) {
      for (var name : faults) {
        kinds.add(
            FaultKind.titled(name)
                .orElseThrow(
                    () ->
                        usage(
                            "--faults: '" + name + "' is none of all, none, "
                                + EnumSet.allOf(FaultKind.class).stream().map(FaultKind::title).collect(Collectors.joining(", ")) + ".")));
      }
    }
    return kinds;
  }

  // ── many seeds ───────────────────────────────────────────────────────────────────────────────────────────────────

  private ExitCode explore(Console console, RunSettings settings) {
    var bar = new Bar(console, seeds);
    var summary = Exploration.run(settings, first, seeds, bar);
    console.endLine();
    var report = Json.object();
    report.put("seeds", summary.seeds());
    report.put("migrations", summary.migrations());
    report.put("completed", summary.completed());
    report.put("rolled_back", summary.rolledBack());
    var violations = report.putArray("violations");
    var text = new StringBuilder();
    for (var failed : summary.failures()) {
      if (violations.size() < FAILURES_SHOWN) {
        console.note("Seed " + failed.seed() + " broke " + failed.violations().getFirst().invariant() + "; it is being shrunk …");
        var least = Shrinker.shrink(settings, failed);
        violations.add(violation(least));
        text.append(failure(least)).append('\n');
      } else {
        violations.add(violation(failed));
        text.append("Seed ").append(failed.seed()).append(" broke ").append(failed.violations().getFirst()).append('\n');
      }
    }
    var missed = summary.coverage().missed();
    var coverage = report.putObject("coverage").put("hit", summary.coverage().hit()).put("total", summary.coverage().total());
    var holes = coverage.putArray("missed");
    missed.forEach(pair -> holes.add(pair.toString()));
    report.put("seconds", Json.round(summary.seconds()));
    report.put("migrations_per_second", Math.round(summary.migrationsPerSecond()));
    var mustCover = summary.seeds() >= SEEDS_FOR_COVERAGE && containers >= 2 && faults.equals(List.of("all"));
    if (trace) {
      text.append(summary.coverage().table()).append('\n');
    }
    text.append(
        String.format(
            Locale.ROOT,
            "%s seeds, %s migrations (%s completed, %s undone or refused) in %.1f s: %s a second. %d of %d pairs of a fault and a phase"
                + " were met. %s",
            Units.count(summary.seeds()),
            Units.count(summary.migrations()),
            Units.count(summary.completed()),
            Units.count(summary.rolledBack()),
            summary.seconds(),
            Units.count(Math.round(summary.migrationsPerSecond())),
            summary.coverage().hit(),
            summary.coverage().total(),
            summary.failures().isEmpty() ? "No invariant was broken." : summary.failures().size() + " seeds broke an invariant."));
    if (mustCover && !missed.isEmpty()) {
      text.append("\nNever met: ").append(missed);
    }
    console.result(report, text.toString());
    return summary.failures().isEmpty() && (!mustCover || missed.isEmpty()) ? ExitCode.OK : ExitCode.CHECK_FAILED;
  }

  private static ObjectNode violation(RunResult failed) {
    var first = failed.violations().getFirst();
    var object = Json.object().put("seed", failed.seed()).put("invariant", first.invariant()).put("sentence", first.sentence());
    var plan = object.putArray("faults");
    failed.plan().forEach(fault -> plan.add(fault.toString()));
    if (failed.log().isKept()) {
      var timeline = object.putArray("timeline");
      Timeline.summary(failed.log()).forEach(timeline::add);
      object.put("diagram", Timeline.sequenceDiagram(failed.log()));
    }
    return object;
  }

  private static String failure(RunResult failed) {
    return "Seed %d broke %s\n\nThe faults that it needs:\n%s\n\n%s\n\n```mermaid\n%s```\n"
        .formatted(
            failed.seed(),
            failed.violations().getFirst(),
            failed.plan().isEmpty() ? "  none" : failed.plan().stream().map(fault -> "  " + fault).collect(Collectors.joining("\n")),
            String.join("\n", Timeline.summary(failed.log())),
            Timeline.sequenceDiagram(failed.log()));
  }

  /** Shows how far it is, a few times a second on a terminal and every ten seconds elsewhere. */
  private static final class Bar implements Exploration.Progress {
    private final Console console;
    private final long all;
    private final long beginNs = System.nanoTime();
    private long shownNs = beginNs;

    Bar(Console console, long all) {
      this.console = console;
      this.all = all;
    }

    @Override
    public void at(long done, long migrations, int failures, Coverage coverage) {
      var now = System.nanoTime();
      if (now - shownNs < (console.errIsTerminal() ? 200_000_000L : 10_000_000_000L)) {
        return;
      }
      shownNs = now;
      var line =
          String.format(
              Locale.ROOT, "%s %s of %s seeds · %s migrations/s · %d/%d pairs · %d broken", ProgressLine.bar(done / (double) all),
              Units.count(done), Units.count(all), Units.count(Math.round(migrations / ((now - beginNs) / 1e9))), coverage.hit(),
              coverage.total(), failures);
      if (console.errIsTerminal()) {
        console.live(line);
      } else {
        console.note(line);
      }
    }
  }

  // ── one seed ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private ExitCode replay(Console console, RunSettings settings, long seed) {
    var result = Exploration.replay(settings, seed);
    var lines = trace ? Timeline.lines(result.log()) : Timeline.summary(result.log());
    var report = Json.object().put("seed", seed).put("hash", "%016x".formatted(result.log().hash()));
    var plan = report.putArray("faults");
    result.plan().forEach(fault -> plan.add(fault.toString()));
    report.put("migrations", result.migrations()).put("completed", result.completed()).put("rolled_back", result.rolledBack());
    var violations = report.putArray("violations");
    result.violations().forEach(violation -> violations.add(violation.toString()));
    var timeline = report.putArray("timeline");
    lines.forEach(timeline::add);
    report.put("diagram", Timeline.sequenceDiagram(result.log()));
    console.result(
        report,
        "Seed %d, event log %016x\n%s\n\n%s\n\n%s"
            .formatted(
                seed,
                result.log().hash(),
                result.plan().stream().map(fault -> "  " + fault).collect(Collectors.joining("\n")),
                String.join("\n", lines),
                result.isSound() ? "No invariant was broken." : "Broken: " + result.violations()));
    return result.isSound() ? ExitCode.OK : ExitCode.CHECK_FAILED;
  }

  // ── a scenario ───────────────────────────────────────────────────────────────────────────────────────────────────

  private ExitCode runScenario(Console console) {
    Scenario wanted;
    try {
      wanted = ScenarioText.parse(Files.readString(scenario));
    } catch (IllegalArgumentException mistake) {
      throw usage(scenario + ": " + mistake.getMessage());
    } catch (IOException e) {
      throw new CommandException(ExitCode.NOT_FOUND, "The scenario " + scenario + " cannot be read: " + e.getMessage() + ".");
    }
    if (wanted.kinds().isEmpty()) {
      throw usage(scenario + ": there is no line that begins with container.");
    }
    var result = wanted.run();
    write(csv, result.csv());
    write(plot, result.svg());
    console.result(ScenarioReport.json(result), ScenarioReport.text(result));
    return ExitCode.OK;
  }

  private static void write(Path file, String content) {
    if (file != null) {
      try {
        Files.writeString(file, content);
      } catch (IOException e) {
        throw new CommandException(ExitCode.FAILED, file + " cannot be written: " + e.getMessage() + ".");
      }
    }
  }
}
