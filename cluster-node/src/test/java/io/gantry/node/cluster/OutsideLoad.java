package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.ToDoubleFunction;

/** A benchmark's own clients outside a container, run over and over until {@link #end}; each run must succeed. {@link #end} by the thread that made it. */
final class OutsideLoad {
  private static final int RUN_SECONDS_MAX = 60;

  private final List<String> command;
  private final List<String> unwanted;
  private final Path output;
  private final List<String> outputs = new ArrayList<>();
  private final Thread thread;
  private volatile boolean ending;
  private volatile String failure = "";

  /**
   * Starts it.
   *
   * @param place what stands before a command that is to run where the clients are
   * @param output file for what a run says
   * @param unwanted what a run must not say, though it ends with status 0
   */
  OutsideLoad(List<String> place, Path output, List<String> unwanted, String... words) {
    command = new ArrayList<>(place);
    command.addAll(List.of(words));
    this.unwanted = unwanted;
    this.output = output;
    thread = Thread.ofPlatform().name("load").start(this::load);
  }

  private void load() {
    while (!ending && failure.isEmpty()) {
      try {
        Process process = new ProcessBuilder(command).directory(output.getParent().toFile()).redirectErrorStream(true).redirectOutput(output.toFile()).start();
        boolean ended = process.waitFor(RUN_SECONDS_MAX, TimeUnit.SECONDS);
        process.destroyForcibly();
        String said = Files.readString(output);
        outputs.add(said);
        if (!ended || process.exitValue() != 0 || unwanted.stream().anyMatch(said::contains)) {
          failure = String.join(" ", command) + (ended ? " ended with status " + process.exitValue() : " did not end") + ": " + said;
        }
      } catch (IOException e) {
        failure = e.toString();
      } catch (InterruptedException e) {
        failure = "interrupted";
      }
    }
  }

  /** Fails when a run has failed. */
  void assertNoErrors() {
    assertThat(failure).isEmpty();
  }

  /**
   * Lets the run that is going on come to its end.
   *
   * @param longestMs what a run's output says of the longest that a client has waited, in milliseconds
   * @return the longest of all runs
   */
  double end(ToDoubleFunction<String> longestMs) throws InterruptedException {
    ending = true;
    thread.join(TimeUnit.SECONDS.toMillis(RUN_SECONDS_MAX));
    assertThat(thread.isAlive()).as("the last run goes on").isFalse();
    assertNoErrors();
    assertThat(outputs).isNotEmpty();
    return outputs.stream().mapToDouble(longestMs).max().orElse(0);
  }
}
