package io.gantry.node;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.daemon.JavaProcess;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A command of {@code gantry} as a process of its own, from the classes that were just built. One thread. */
public final class CommandProcess {
  private final Process process;
  private final Path out;
  private final Path err;
  private final String line;

  private CommandProcess(Process process, Path out, Path err, String line) {
    this.process = process;
    this.out = out;
    this.err = err;
    this.line = line;
  }

  /** Starts it with the arguments given. */
  public static CommandProcess start(Path directory, String... arguments) throws IOException {
    return start(directory, List.of(), arguments);
  }

  /**
   * Starts it.
   *
   * @param directory for its output
   * @param before what stands before the command, such as {@code setpriv} with its options
   */
  public static CommandProcess start(Path directory, List<String> before, String... arguments) throws IOException {
    // What runs in the background of a script ignores SIGINT, and hands that down.
    var command = new ArrayList<>(List.of("env", "--default-signal=INT,QUIT"));
    command.addAll(before);
    command.addAll(List.of(JavaProcess.java().toString(), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"));
    command.addAll(List.of("--enable-native-access=ALL-UNNAMED", "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED"));
    command.add("-Dgantry.home=" + JavaProcess.home());
    command.addAll(List.of("-cp", JavaProcess.classPath(), "io.gantry.node.Main"));
    command.addAll(List.of(arguments));
    Path out = Files.createTempFile(directory, "out", "");
    Path err = Files.createTempFile(directory, "err", "");
    Process process = new ProcessBuilder(command).redirectOutput(out.toFile()).redirectError(err.toFile()).start();
    return new CommandProcess(process, out, err, "gantry " + String.join(" ", arguments));
  }

  public Process process() {
    return process;
  }

  /** Exit status; fails when it does not end in time. */
  public int await(Duration longest) throws InterruptedException, IOException {
    boolean ended = process.waitFor(longest.toMillis(), TimeUnit.MILLISECONDS);
    if (!ended) {
      process.destroy();
    }
    assertThat(ended).as(line + " ends within " + longest + "; standard error: " + err()).isTrue();
    return process.exitValue();
  }

  /** Standard output so far. */
  public String out() throws IOException {
    return Files.readString(out);
  }

  /** Standard error so far. */
  public String err() throws IOException {
    return Files.readString(err);
  }

  /** Standard output, which must be exactly one JSON object. */
  public ObjectNode json() throws IOException {
    try {
      return Json.parse(out());
    } catch (IOException notOne) {
      throw new AssertionError(line + ": standard output is not exactly one JSON object: " + out() + "\nstandard error: " + err(), notOne);
    }
  }

  /** Sends a signal, such as {@code INT}. */
  public void signal(String name) throws IOException, InterruptedException {
    assertThat(new ProcessBuilder("kill", "-" + name, Long.toString(process.pid())).start().waitFor()).isZero();
  }
}
