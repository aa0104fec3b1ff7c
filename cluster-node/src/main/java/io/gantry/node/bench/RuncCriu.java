package io.gantry.node.bench;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.demo.LeftOvers;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * The same container moved by {@code runc checkpoint}, a copy of the images, and {@code runc restore}, with CRIU. Both in this
 * host's control groups, each in the network of its
 * node. One thread.
 */
final class RuncCriu implements AutoCloseable {
  private static final Duration STEP_MAX = Duration.ofSeconds(60);
  private static final String ID = "bench-criu";

  private final Path criu;
  private final Path bundle;
  private final Path work;
  private final BenchNetwork network;
  private int where;
  private int moves;

  /** How long each step took, in milliseconds. */
  record Steps(double checkpointMs, double copyMs, double restoreMs) {
    double sumMs() {
      return checkpointMs + copyMs + restoreMs;
    }
  }

  /** Why it did not work. */
  static final class Failure extends Exception {
    private static final long serialVersionUID = 1;

    Failure(String sentence) {
      super(sentence);
    }
  }

  /** @param work for images and logs; exists */
  RuncCriu(Path criu, Path bundle, Path work, BenchNetwork network) {
    this.criu = criu;
    this.bundle = bundle;
    this.work = work;
    this.network = network;
  }

  /** Runs the container at the first node. */
  void start() throws Failure {
    runc(0, "run", work.resolve("run.err"), List.of("--detach", "--bundle", bundle.toString()));
  }

  /** Moves it to the other node. */
  Steps move() throws Failure {
    moves++;
    Path images = work.resolve("images-" + moves);
    Path copied = work.resolve("copied-" + moves);
    Path logs = work.resolve("work-" + moves);
    try {
      Files.createDirectories(images);
      Files.createDirectories(copied);
      Files.createDirectories(logs);
      var options = List.of("--work-path", logs.toString(), "--tcp-established", "--empty-ns", "network");
      long begunNs = System.nanoTime();
      runc(where, "checkpoint", logs.resolve("dump.log"), with(options, "--image-path", images.toString()));
      long savedNs = System.nanoTime();
      try (var files = Files.list(images)) {
        for (Path file : files.toList()) {
          Files.copy(file, copied.resolve(file.getFileName()), StandardCopyOption.COPY_ATTRIBUTES);
        }
      }
      long copiedNs = System.nanoTime();
      where = 1 - where;
      runc(where, "restore", logs.resolve("restore.log"), with(options, "--image-path", copied.toString(), "--detach", "--bundle", bundle.toString()));
      long restoredNs = System.nanoTime();
      LeftOvers.deleteTree(images);
      LeftOvers.deleteTree(copied);
      return new Steps((savedNs - begunNs) / 1e6, (copiedNs - savedNs) / 1e6, (restoredNs - copiedNs) / 1e6);
    } catch (IOException failure) {
      throw new UncheckedIOException("copying CRIU's images", failure);
    }
  }

  private static List<String> with(List<String> options, String... more) {
    var all = new ArrayList<>(options);
    all.addAll(List.of(more));
    return all;
  }

  private List<String> runc(int node) {
    var command = new ArrayList<>(network.node(node));
    command.addAll(List.of("runc", "--root", work.resolve("state-" + node).toString(), "--criu", criu.toString()));
    return command;
  }

  private void runc(int node, String verb, Path log, List<String> options) throws Failure {
    var command = runc(node);
    command.add(verb);
    command.addAll(options);
    command.add(ID);
    Path error = work.resolve(verb + ".stderr");
    try {
      // CRIU knows no file of the host that a container has open.
      Process process =
          new ProcessBuilder(command).redirectInput(new java.io.File("/dev/null")).redirectOutput(new java.io.File("/dev/null")).redirectError(error.toFile()).start();
      if (!process.waitFor(STEP_MAX.toSeconds(), TimeUnit.SECONDS)) {
        process.destroyForcibly();
        throw new Failure("runc " + verb + " did not end within " + STEP_MAX.toSeconds() + " s");
      }
      if (process.exitValue() != 0) {
        throw new Failure("runc " + verb + " failed" + reason(log).or(() -> reason(error)).map(line -> ": " + line).orElse(""));
      }
    } catch (IOException failure) {
      throw new CommandException(ExitCode.FAILED, "runc cannot be run: " + failure.getMessage(), failure);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new CommandException(ExitCode.INTERRUPTED, "Interrupted.");
    }
  }

  /** What CRIU's log says first that made it give up, and what it says of what it could not do there. */
  private static Optional<String> reason(Path log) {
    try {
      var errors =
          Files.readAllLines(log).stream()
              .filter(line -> line.contains("Error") || line.contains("level=error"))
              // It goes on without that right.
              .filter(line -> !line.contains("RLIMIT_NOFILE"))
              .limit(3)
              .map(String::strip)
              .toList();
      return errors.isEmpty() ? Optional.empty() : Optional.of(String.join("; ", errors));
    } catch (IOException unreadable) {
      return Optional.empty();
    }
  }

  @Override
  public void close() {
    for (int node = 0; node < 2; node++) {
      if (Files.exists(work.resolve("state-" + node).resolve(ID))) {
        var command = runc(node);
        command.addAll(List.of("delete", "--force", ID));
        BenchNetwork.run(command);
      }
    }
  }
}
