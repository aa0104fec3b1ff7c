package io.gantry.node.bench;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import io.gantry.node.daemon.JavaProcess;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/** The process of {@link KeepAliveClients}, at the client's place in the network. One thread. */
final class ClientProcess implements AutoCloseable {
  private static final Duration ANSWERS_MAX = Duration.ofSeconds(30);
  /** Longer than from one answer to the next, since the count begins anew with each look. */
  private static final long LOOK_NS = 250_000_000;

  private final Process process;
  private final BufferedReader answers;
  private long errors;
  private double longestMs;

  private ClientProcess(Process process) {
    this.process = process;
    this.answers = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
  }

  /**
   * Starts it and waits until each client has been answered.
   *
   * @param place what stands before the command
   * @param everyMs between an answer and the next question
   */
  static ClientProcess start(List<String> place, String address, int clients, int everyMs, Path log) {
    var command = new ArrayList<>(place);
    command.addAll(List.of(JavaProcess.java().toString(), "-XX:+UseSerialGC", "-Xmx128m", "-XX:-UsePerfData", "-cp", JavaProcess.classPath()));
    command.addAll(List.of(KeepAliveClients.class.getName(), address, "80", NginxBundle.FILE, Integer.toString(NginxBundle.FILE_BYTES)));
    command.addAll(List.of(Integer.toString(clients), Integer.toString(everyMs)));
    try {
      var started = new ClientProcess(new ProcessBuilder(command).redirectError(log.toFile()).start());
      try {
        started.awaitAnswers(3);
        started.begin();
        return started;
      } catch (RuntimeException failed) {
        started.close();
        throw failed;
      }
    } catch (IOException failure) {
      throw new CommandException(ExitCode.FAILED, "The clients cannot be started: " + failure.getMessage(), failure);
    }
  }

  /** Forgets what was. */
  void begin() {
    report();
    errors = 0;
    longestMs = 0;
  }

  /** Waits until each client that is left has been answered so often since now, and once in a while at least. */
  void awaitAnswers(int each) {
    long endNs = System.nanoTime() + ANSWERS_MAX.toNanos();
    for (long least = 0; least < each; least += report().path("least").asLong()) {
      if (System.nanoTime() > endNs) {
        throw new CommandException(ExitCode.FAILED, "A client was not answered for " + ANSWERS_MAX.toSeconds() + " s.");
      }
      LockSupport.parkNanos(LOOK_NS);
    }
  }

  /** Since {@link #begin}: connections that were lost. */
  long errors() {
    return errors;
  }

  /** Since {@link #begin}: the longest that a client has waited for an answer. */
  double longestMs() {
    return longestMs;
  }

  private ObjectNode report() {
    try {
      process.getOutputStream().write('\n');
      process.getOutputStream().flush();
      String line = answers.readLine();
      if (line == null) {
        throw new IOException("it has ended");
      }
      ObjectNode report = Json.parse(line);
      errors += report.path("errors").asLong();
      longestMs = Math.max(longestMs, report.path("longest_ms").asDouble());
      return report;
    } catch (IOException failure) {
      throw new CommandException(ExitCode.FAILED, "The clients cannot be asked: " + failure.getMessage(), failure);
    }
  }

  @Override
  public void close() {
    process.destroyForcibly();
  }
}
