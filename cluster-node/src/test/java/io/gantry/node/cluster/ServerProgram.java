package io.gantry.node.cluster;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * A program in {@code src/test/workloads/servers} that starts a server as Debian ships it and loads it; see {@code driver.py} there.
 *
 * @param name the file's, without {@code .py}
 */
record ServerProgram(String name) {
  /** Making a database, or compiling a Go program, with everything that it needs. */
  static final Duration READY_MAX = Duration.ofSeconds(180);

  private static final Path SOURCES = TestProgram.SOURCES.resolve("servers");

  /** @param directory the program's own, which exists */
  List<String> command(Path directory) {
    // Nothing is written beside the sources.
    return List.of("/usr/bin/python3", "-B", SOURCES.resolve(name + ".py").toString(), directory.toString());
  }
}
