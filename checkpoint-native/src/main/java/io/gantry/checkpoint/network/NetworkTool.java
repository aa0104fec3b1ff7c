package io.gantry.checkpoint.network;

import io.gantry.checkpoint.CheckpointException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Runs {@code ip(8)} and its like, here or in the network namespace of a process. Any thread. */
final class NetworkTool {
  /** Each takes milliseconds; what takes longer hangs. */
  private static final int SECONDS_MAX = 10;

  /** @param status exit status; @param out standard output; @param err standard error */
  record Result(int status, byte[] out, String err) {
    List<String> lines() {
      return new String(out, StandardCharsets.UTF_8).lines().map(String::strip).filter(line -> !line.isEmpty()).toList();
    }
  }

  private NetworkTool() {}

  /** Runs it where this agent is; it must succeed. */
  static Result here(String... words) {
    return demand(List.of(words), new byte[0]);
  }

  /** Runs it in the network namespace of a process; it must succeed. */
  static Result in(int pid, String... words) {
    return demand(inside(pid, words), new byte[0]);
  }

  /** As {@link #in}; what comes of it is for the caller to judge. */
  static Result attempt(int pid, byte[] input, String... words) {
    return run(inside(pid, words), input);
  }

  private static List<String> inside(int pid, String... words) {
    var command = new ArrayList<>(List.of("nsenter", "--net=/proc/" + pid + "/ns/net", "--"));
    command.addAll(List.of(words));
    return command;
  }

  private static Result demand(List<String> command, byte[] input) {
    var result = run(command, input);
    if (result.status != 0) {
      throw new CheckpointException(
          "\"" + String.join(" ", command) + "\" ended with status " + result.status + ": " + result.err.strip().replace("\n", "; "));
    }
    return result;
  }

  /** Runs a command with this input. */
  static Result run(List<String> command, byte[] input) {
    Process process;
    try {
      process = new ProcessBuilder(command).start();
    } catch (IOException e) {
      throw new CheckpointException(
          "cannot run " + command.getFirst() + ", which containers with a network of their own need (packages iproute2 and util-linux): "
              + e.getMessage(),
          e);
    }
    try {
      var err = CompletableFuture.supplyAsync(() -> read(process.getErrorStream()), task -> Thread.ofPlatform().daemon().start(task));
      var out = CompletableFuture.supplyAsync(() -> read(process.getInputStream()), task -> Thread.ofPlatform().daemon().start(task));
      try (var in = process.getOutputStream()) {
        in.write(input);
      } catch (IOException closed) {
        // It did not want all of it; its status tells whether that was right.
        err.isDone();
      }
      if (!process.waitFor(SECONDS_MAX, TimeUnit.SECONDS)) {
        throw new CheckpointException("\"" + String.join(" ", command) + "\" did not end within " + SECONDS_MAX + " s");
      }
      return new Result(process.exitValue(), out.join(), new String(err.join(), StandardCharsets.UTF_8));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new CheckpointException("interrupted while \"" + String.join(" ", command) + "\" ran", e);
    } finally {
      process.destroyForcibly();
    }
  }

  private static byte[] read(java.io.InputStream stream) {
    try (stream) {
      return stream.readAllBytes();
    } catch (IOException ended) {
      return new byte[0];
    }
  }
}
