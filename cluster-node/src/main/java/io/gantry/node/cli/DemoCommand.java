package io.gantry.node.cli;

import io.gantry.node.ExitCode;
import io.gantry.node.Units;
import io.gantry.node.daemon.Privileges;
import io.gantry.node.demo.Demo;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Shows the whole thing on one machine. */
@Command(
    name = "demo",
    header = "Starts two nodes on this machine, and moves a program that checks itself between them.",
    description = {
      "The program has several threads, an open file and timers, and looks all the time whether anything happened to its memory. At the end"
          + " it says what it noticed. Nothing is left behind, on Ctrl-C either. (On one machine the two nodes share two things that two"
          + " hosts would not: the processor and the memory bus.)",
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:every move was completed and the program is content",
      "4:a move was refused",
      "5:a move was rolled back",
      "8:not root",
      "10:the kernel lacks something that is needed",
      "11:the program found an error"
    },
    footer = "  gantry demo --memory 2G --moves 10")
final class DemoCommand extends Subcommand {
  private static final long MEMORY_MIN = 1 << 20;

  @Option(names = "--memory", paramLabel = "SIZE", defaultValue = "1G", description = "What the program holds (${DEFAULT-VALUE}).")
  String memory;

  @Option(
      names = "--moves",
      paramLabel = "N",
      defaultValue = "6",
      description = "How many times it moves, there and back in turn (${DEFAULT-VALUE}: three times there and back).")
  int moves;

  @Override
  ExitCode run(Console console) {
    long bytes;
    try {
      bytes = Units.parseBytes(memory);
    } catch (IllegalArgumentException mistake) {
      throw usage("--memory: " + mistake.getMessage());
    }
    if (bytes < MEMORY_MIN) {
      throw usage("--memory must be at least 1M.");
    }
    if (moves < 1 || moves > 10_000) {
      throw usage("--moves must be 1 to 10000.");
    }
    Privileges.requireRoot("gantry demo", "it starts two nodes, and these stop, read and create processes");
    return new Demo(console, bytes, moves).run();
  }
}
