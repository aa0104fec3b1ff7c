package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.ExitCode;
import io.gantry.node.Units;
import io.gantry.node.control.ControlClient;
import java.time.Duration;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Moves a container. */
@Command(
    name = "migrate",
    header = "Moves a running container to another node.",
    description = {
      "Its memory is copied while it runs; then it pauses for milliseconds and goes on over there. If anything fails before that, it runs on"
          + " where it was. Ctrl-C only ends the display, not the move.",
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:completed",
      "2:an option is wrong, or it is there already",
      "3:no such container or node",
      "4:refused; the container was not touched and every reason is given",
      "5:rolled back; the container runs on where it was",
      "6:in doubt; the container stays frozen until the other node can be asked",
      "7:no node answers",
      "9:it is being moved already"
    },
    footer = "  gantry migrate web --to beta --pause-budget 20ms --deadline 60s")
final class MigrateCommand extends Subcommand {
  @Mixin NodeSocket socket;

  @Parameters(paramLabel = "C", description = "The container.")
  String container;

  @Option(names = "--to", required = true, paramLabel = "N", description = "The node it moves to.")
  String to;

  @Option(
      names = "--pause-budget",
      paramLabel = "TIME",
      defaultValue = "20ms",
      description = "The pause to aim for: it is stopped as soon as the predicted pause is within this (${DEFAULT-VALUE}).")
  String pauseBudget;

  @Option(names = "--deadline", paramLabel = "TIME", defaultValue = "60s", description = "Latest time to commit (${DEFAULT-VALUE}).")
  String deadline;

  @Option(
      names = "--when-stalled",
      paramLabel = "freeze|abort",
      defaultValue = "freeze",
      description = "What to do when the predicted pause stops falling above the budget: accept a longer pause, or give up (${DEFAULT-VALUE}).")
  String whenStalled;

  @Option(names = "--verify", description = "Compare every page of the container at the commit, not only what was sent. Lengthens the pause.")
  boolean verify;

  @Override
  ExitCode run(Console console) {
    if (!whenStalled.equals("freeze") && !whenStalled.equals("abort")) {
      throw usage("--when-stalled is 'freeze' or 'abort', not '" + whenStalled + "'.");
    }
    ObjectNode request =
        ControlClient.request("migrate")
            .put("container", container)
            .put("to", to)
            .put("pause_budget_ms", positive("--pause-budget", pauseBudget).toNanos() / 1e6)
            .put("deadline_ms", positive("--deadline", deadline).toMillis())
            .put("when_stalled", whenStalled)
            .put("verify", verify);
    var progress = new ProgressLine(console);
    ObjectNode result = socket.open().call(request, progress::show);
    console.result(result, MigrationText.summary(result));
    return MigrationText.exitCode(result);
  }

  private Duration positive(String option, String text) {
    try {
      Duration duration = Units.parseDuration(text);
      if (duration.isZero()) {
        throw usage(option + " must be longer than nothing.");
      }
      return duration;
    } catch (IllegalArgumentException mistake) {
      throw usage(option + ": " + mistake.getMessage());
    }
  }
}
