package io.gantry.node.daemon;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;

/**
 * Starts a node as a process of its own and waits until it says that it is ready, or why not. It says so with one JSON object on its
 * standard output: {@code {"ready": {…}}} or {@code {"error": {"code": …, "message": …}}}.
 */
public final class NodeLauncher {
  /** Long enough for the rehearsal on a busy machine. */
  private static final Duration READY_MAX = Duration.ofSeconds(90);

  private NodeLauncher() {}

  /** A node that is ready. @param process its process; @param ready what it said about itself */
  public record Started(Process process, ObjectNode ready) {}

  /**
   * @param stateDirectory the node's state directory; created when missing, so that what the JVM itself says has a place
   * @param arguments of {@code gantry node}, without {@code --foreground}
   * @throws CommandException with the node's own sentence when it did not become ready; its process has ended then
   */
  public static Started start(Path stateDirectory, List<String> arguments) {
    return start(stateDirectory, List.of(), arguments, process -> {});
  }

  /**
   * As {@link #start(Path, List)}.
   *
   * @param before what stands before the command, such as one that enters a network namespace; it must become the command
   * @param born told about the process before it is ready, so that it can be ended whatever happens
   */
  public static Started start(Path stateDirectory, List<String> before, List<String> arguments, Consumer<Process> born) {
    Path errors = stateDirectory.resolve("node.stderr");
    Process process;
    try {
      Files.createDirectories(stateDirectory);
      var all = new ArrayList<>(arguments);
      all.addAll(List.of("--foreground", "--report-ready"));
      process = JavaProcess.startDetached(before, JavaProcess.node(all), errors);
      born.accept(process);
    } catch (IOException failure) {
      throw new CommandException(
          ExitCode.USAGE,
          "The node could not be started: " + failure.getMessage() + ". Check that " + stateDirectory + " can be written and that "
              + JavaProcess.SETSID + " (package util-linux) is installed.",
          failure);
    }
    try {
      return new Started(process, awaitReady(process, stateDirectory, errors));
    } catch (RuntimeException failed) {
      process.destroyForcibly();
      throw failed;
    }
  }

  private static ObjectNode awaitReady(Process process, Path stateDirectory, Path errors) {
    var line =
        CompletableFuture.supplyAsync(
            () -> {
              try (var reader = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
                return reader.readLine();
              } catch (IOException broken) {
                throw new java.io.UncheckedIOException(broken);
              }
            },
            task -> Thread.ofPlatform().daemon().name("node-ready").start(task));
    String where = "Its log is " + stateDirectory.resolve("node.log") + ", what the JVM said is in " + errors + ".";
    try {
      String text = line.get(READY_MAX.toMillis(), TimeUnit.MILLISECONDS);
      if (text == null) {
        int status = process.waitFor();
        throw new CommandException(
            ExitCode.FAILED, "The node ended with exit status " + status + " before it was ready. " + lastLine(errors) + where);
      }
      ObjectNode said = Json.parse(text);
      if (said.get("ready") instanceof ObjectNode ready) {
        return ready;
      }
      process.waitFor(10, TimeUnit.SECONDS);
      throw new CommandException(ExitCode.ofWord(said.at("/error/code").asText()), said.at("/error/message").asText());
    } catch (TimeoutException late) {
      throw new CommandException(ExitCode.UNREACHABLE, "The node was not ready within " + READY_MAX.toSeconds() + " s and was ended. " + where);
    } catch (ExecutionException | IOException broken) {
      throw new CommandException(ExitCode.FAILED, "The node did not say whether it is ready: " + broken.getMessage() + ". " + where, broken);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new CommandException(ExitCode.INTERRUPTED, "Interrupted before the node was ready; it was ended.");
    }
  }

  private static String lastLine(Path errors) {
    try {
      List<String> lines = Files.readAllLines(errors);
      return lines.isEmpty() ? "" : "It last said: " + lines.getLast() + " ";
    } catch (IOException unreadable) {
      return "";
    }
  }
}
