package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** The outside of a {@link TestProgram} or {@link KindProgram} that runs: what its files say, and orders to it. Any thread. */
final class WatchedProgram {
  private static final Duration ANSWER_MAX = Duration.ofSeconds(30);
  private static final Duration LOOK = Duration.ofMillis(5);

  private final String program;
  private final Path directory;
  private final List<String> command;

  /** @param directory a fresh one for this run; it is created */
  WatchedProgram(TestProgram program, Path directory, String... arguments) {
    this(program.toString(), directory, created -> program.command(created, arguments));
  }

  /** @param directory a fresh one for this run; it is created */
  WatchedProgram(KindProgram program, Path directory) {
    this(program.name(), directory, program::command);
  }

  /** @param directory a fresh one for this run; it is created */
  WatchedProgram(ServerProgram program, Path directory) {
    this(program.name(), directory, program::command);
  }

  private WatchedProgram(String program, Path directory, Function<Path, List<String>> command) {
    this.program = program;
    this.directory = directory;
    try {
      Files.createDirectories(directory);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
    this.command = command.apply(directory);
  }

  List<String> command() {
    return command;
  }

  Path directory() {
    return directory;
  }

  /** What it last said about itself; empty before it has said anything. */
  Map<String, String> status() {
    return read("status");
  }

  long number(String key) {
    return Long.parseLong(status().getOrDefault(key, "0"));
  }

  double maxGapMs() {
    return Double.parseDouble(status().getOrDefault("max_gap_ms", "0"));
  }

  private Map<String, String> read(String name) {
    var values = new HashMap<String, String>();
    text(name).lines().forEach(line -> {
      int at = line.indexOf('=');
      if (at > 0) {
        values.put(line.substring(0, at), line.substring(at + 1));
      }
    });
    return values;
  }

  /** A file of its directory, empty when it is not there. */
  String text(String name) {
    try {
      return Files.readString(directory.resolve(name));
    } catch (NoSuchFileException none) {
      return "";
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  /** Waits until it has begun. */
  WatchedProgram awaitRunning() {
    return awaitRunning(ANSWER_MAX);
  }

  /** Waits until it has begun. */
  WatchedProgram awaitRunning(Duration longest) {
    await(program + " to begin").atMost(longest).pollInterval(LOOK).until(() -> number("beat") > 0);
    return this;
  }

  /** Waits until it has given so many more signs of life. */
  void awaitBeats(long count) {
    long wanted = number("beat") + count;
    await(program + " to go on").atMost(ANSWER_MAX).pollInterval(LOOK).until(() -> number("beat") >= wanted);
  }

  void assertNoErrors() {
    assertThat(text("errors")).as(program + " found errors in itself").isEmpty();
  }

  /** Gives an order: a file that appears complete. */
  void order(String name, String content) {
    try {
      Path fresh = directory.resolve(name + ".ordered");
      Files.writeString(fresh, content);
      Files.move(fresh, directory.resolve(name), StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  /** Makes it damage itself and waits until that is done. */
  void corrupt(String what) {
    order("corrupt", what);
    await(program + " to damage " + what).atMost(ANSWER_MAX).pollInterval(LOOK).until(() -> Files.exists(directory.resolve("corrupted")));
    try {
      Files.delete(directory.resolve("corrupted"));
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  /** Only for programs that have items: has each of them looked at, returns the lines of those that are not as they should be. */
  List<String> look(int number) {
    order("ask", Integer.toString(number));
    await("look " + number)
        .atMost(ANSWER_MAX)
        .pollInterval(LOOK)
        .until(() -> text("report").startsWith("asked=" + number + "\n") || text("errors").contains("does not answer"));
    List<String> lines = text("report").lines().skip(1).toList();
    assertThat(lines).as("lines of look " + number + "; errors: " + text("errors")).hasSameSizeAs(text("items").lines().toList());
    return lines.stream().filter(line -> !line.startsWith("ok ")).toList();
  }

  /** Tells it to end. */
  void finish() {
    order("finish", "");
  }

  /** Tells it to look at everything once more and to end; returns what it says: {@code verdict, checks, errors, max_gap_ms}. */
  Map<String, String> verdict() {
    finish();
    await("the verdict of " + program).atMost(ANSWER_MAX).until(() -> Files.exists(directory.resolve("verdict")));
    return read("verdict");
  }

  void assertVerdictOk() {
    Map<String, String> verdict = verdict();
    assertNoErrors();
    assertThat(verdict).as(program + "'s own verdict").containsEntry("verdict", "ok").containsEntry("errors", "0");
    assertThat(Long.parseLong(verdict.get("checks"))).isPositive();
  }
}
