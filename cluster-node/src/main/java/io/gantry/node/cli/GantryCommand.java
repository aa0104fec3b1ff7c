package io.gantry.node.cli;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import java.util.Arrays;
import java.util.Optional;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** The command line as a whole. */
@Command(
    name = "gantry",
    header = "Moves running containers from one Linux host to another.",
    synopsisSubcommandLabel = "COMMAND",
    versionProvider = GantryCommand.Version.class,
    subcommands = {
      StartNodeCommand.class,
      RunCommand.class,
      AdoptCommand.class,
      PsCommand.class,
      NodesCommand.class,
      MigrateCommand.class,
      CancelCommand.class,
      ResolveCommand.class,
      StopCommand.class,
      LogsCommand.class,
      CheckCommand.class,
      CheckpointCommand.class,
      RestoreCommand.class,
      DemoCommand.class,
      BenchCommand.class,
      SimulateCommand.class,
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  gantry demo                                        see it work, on this machine alone",
      "  gantry node --name alpha --bind 10.0.0.1           start a node",
      "  gantry run --name web -- python3 -m http.server    start a container",
      "  gantry migrate web --to beta                       move it",
      "",
      "Every command has --help and --json. Exit codes are in docs/commands.md.",
    })
public final class GantryCommand implements Runnable {
  @Spec CommandSpec spec;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help.")
  boolean help;

  @Option(
      names = {"-V", "--version"},
      versionHelp = true,
      description = "Show the version.")
  boolean version;

  private GantryCommand() {}

  @Override
  public void run() {
    throw new CommandLine.ParameterException(spec.commandLine(), "Say what to do: a command is missing.");
  }

  /**
   * Runs one command.
   *
   * @return the exit status; everything that is to be said has been said
   */
  public static int execute(String... arguments) {
    boolean json = wantsJson(arguments);
    var line = new CommandLine(new GantryCommand());
    line.setExecutionStrategy(new CommandLine.RunLast());
    line.setUsageHelpWidth(110);
    line.setAbbreviatedOptionsAllowed(false);
    line.getSubcommands().values().forEach(GantryCommand::prepare);
    line.setParameterExceptionHandler(
        (mistake, words) -> {
          String name = mistake.getCommandLine().getCommandSpec().qualifiedName();
          fail(json, ExitCode.USAGE, sentence(describe(mistake)) + " See: " + name + " --help");
          return ExitCode.USAGE.status();
        });
    line.setExecutionExceptionHandler(
        (failure, command, parsed) -> {
          if (failure instanceof CommandException expected) {
            fail(json, expected.code(), expected.getMessage());
            return expected.code().status();
          }
          fail(json, ExitCode.FAILED, unexpected(failure));
          return ExitCode.FAILED.status();
        });
    return line.execute(arguments);
  }

  private static void prepare(CommandLine command) {
    command.setUsageHelpWidth(110);
    command.getCommandSpec().usageMessage().footerHeading("%nExample:%n");
    command.getSubcommands().values().forEach(GantryCommand::prepare);
  }

  /** Whether {@code --json} stands among gantry's own words, also when the rest cannot be parsed. */
  private static boolean wantsJson(String[] arguments) {
    return Arrays.stream(arguments).takeWhile(word -> !word.equals("--")).anyMatch("--json"::equals);
  }

  private static void fail(boolean json, ExitCode code, String sentence) {
    System.err.println("gantry: " + sentence);
    if (json) {
      var error = Json.object();
      error.putObject("error").put("code", code.word()).put("exit_code", code.status()).put("message", sentence);
      System.out.println(Json.line(error));
    }
  }

  private static String describe(CommandLine.ParameterException mistake) {
    if (!(mistake instanceof CommandLine.UnmatchedArgumentException unmatched) || unmatched.getUnmatched().isEmpty()) {
      return mistake.getMessage();
    }
    String word = unmatched.getUnmatched().getFirst();
    boolean root = mistake.getCommandLine().getParent() == null;
    var similar = unmatched.getSuggestions();
    return "'" + word + "' is " + (root ? "not a command of gantry" : unmatched.isUnknownOption() ? "not an option of this command" : "too much here")
        + (similar.isEmpty() ? "." : "; did you mean " + similar.getFirst() + "?");
  }

  private static String sentence(String text) {
    String stripped = text == null ? "That cannot be understood" : text.strip();
    return stripped.endsWith(".") || stripped.endsWith("?") ? stripped : stripped + ".";
  }

  private static String unexpected(Throwable failure) {
    if (System.getenv("GANTRY_TRACE") != null) {
      failure.printStackTrace();
    }
    String message = Optional.ofNullable(failure.getMessage()).orElse(failure.getClass().getName());
    return sentence(message) + (System.getenv("GANTRY_TRACE") == null ? " (GANTRY_TRACE=1 shows where that comes from.)" : "");
  }

  /** Version from the jar's manifest. */
  static final class Version implements CommandLine.IVersionProvider {
    @Override
    public String[] getVersion() {
      String version = Optional.ofNullable(GantryCommand.class.getPackage().getImplementationVersion()).orElse("(not packaged)");
      return new String[] {"gantry " + version};
    }
  }
}
