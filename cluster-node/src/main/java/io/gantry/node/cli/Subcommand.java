package io.gantry.node.cli;

import io.gantry.node.ExitCode;
import java.util.concurrent.Callable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** What all commands have in common. */
abstract class Subcommand implements Callable<Integer> {
  @Spec CommandSpec spec;

  @Option(names = "--json", description = "Print exactly one JSON object on standard output, nothing else there.")
  boolean json;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help.")
  boolean help;

  /** Does what the command is for. Throws {@link io.gantry.node.CommandException} when it cannot. */
  abstract ExitCode run(Console console) throws Exception;

  @Override
  public final Integer call() throws Exception {
    return run(new Console(json, System.out, System.err)).status();
  }

  /** A mistake in what was typed. */
  final ParameterException usage(String sentence) {
    return new ParameterException(spec.commandLine(), sentence);
  }
}
