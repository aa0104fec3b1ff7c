package io.gantry.node.bench;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/** Control groups of its own for the second node: two containers of one bundle would be in the same ones, which no runtime can stand. */
final class SecondHost implements AutoCloseable {
  private static final String SCRIPT = "second-host.sh";
  private static final long REMOVE_NS_MAX = 5_000_000_000L;
  private static final long LOOK_NS = 20_000_000;

  private final Path script;
  private final String name = "gantry-bench-" + ProcessHandle.current().pid();

  private SecondHost(Path script) {
    this.script = script;
  }

  /** @param directory for its script */
  static SecondHost create(Path directory) throws IOException {
    Path script = directory.resolve(SCRIPT);
    try (var text = SecondHost.class.getResourceAsStream(SCRIPT)) {
      if (text == null) {
        throw new CommandException(ExitCode.FAILED, "This program is not whole: " + SCRIPT + " is missing in it.");
      }
      Files.copy(text, script);
    }
    return new SecondHost(script);
  }

  /** What stands before a command. */
  List<String> command() {
    return List.of("sh", script.toString(), name);
  }

  /** A group is free a moment after the last process in it has ended. */
  @Override
  public void close() {
    long endNs = System.nanoTime() + REMOVE_NS_MAX;
    try {
      for (String line : Files.readAllLines(Path.of("/proc/self/mountinfo"))) {
        if (line.contains(" - cgroup ") || line.contains(" - cgroup2 ")) {
          Path group = Path.of(line.split(" ")[4]).resolve(name);
          while (Files.exists(group) && !group.toFile().delete() && System.nanoTime() < endNs) {
            LockSupport.parkNanos(LOOK_NS);
          }
        }
      }
    } catch (IOException failure) {
      throw new CommandException(ExitCode.FAILED, "Control groups called " + name + " may be left: " + failure.getMessage(), failure);
    }
  }
}
