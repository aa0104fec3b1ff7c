package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import io.gantry.node.Json;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A process outside that streams both ways to an echo server over many connections and compares every byte, until it is told to stop. One thread. */
final class StreamingClient implements AutoCloseable {
  /** Programs of tests of networks. */
  static final Path WORKLOADS = TestProgram.SOURCES.resolve("network");

  private static final Duration SOON = Duration.ofSeconds(20);

  private final Process process;
  private final Path stop;
  private final Path result;

  /**
   * Starts it.
   *
   * @param directory for its files
   * @param place what stands before a command that is to run where the client is
   * @param name of its files
   * @param host where the server is, on port 7000
   * @param connections how many
   * @param window bytes that each keeps on the way
   */
  StreamingClient(Path directory, List<String> place, String name, String host, int connections, int window) throws IOException {
    stop = directory.resolve(name + ".stop");
    result = directory.resolve(name + ".json");
    Files.deleteIfExists(stop);
    Files.deleteIfExists(result);
    var command = new ArrayList<>(place);
    command.addAll(List.of("python3", WORKLOADS.resolve("client.py").toString(), host, "7000", Integer.toString(connections), Integer.toString(window)));
    command.addAll(List.of(stop.toString(), result.toString()));
    process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(directory.resolve(name + ".log").toFile()).start();
  }

  /** Its process id, by which its network namespace can be found. */
  long pid() {
    return process.pid();
  }

  private JsonNode seen() {
    try {
      return Files.exists(result) ? Json.parse(Files.readString(result)) : Json.parse("{}");
    } catch (IOException failure) {
      throw new AssertionError(failure);
    }
  }

  /** Waits until every stream has got so many more bytes than now. */
  void awaitMore(long bytes) {
    long before = seen().path("least").asLong();
    await("more bytes at every stream")
        .atMost(SOON)
        .until(
            () -> {
              assertThat(seen().path("errors")).isEmpty();
              return seen().path("least").asLong(-1) >= before + bytes;
            });
  }

  /** Ends it; it must have had no error, and everything that it sent must have come back. */
  JsonNode end() throws IOException, InterruptedException {
    Files.createFile(stop);
    assertThat(process.waitFor(SOON.toSeconds(), TimeUnit.SECONDS)).isTrue();
    JsonNode last = seen();
    assertThat(last.path("done").asBoolean()).as(last.toString()).isTrue();
    assertThat(last.path("errors")).as(last.toString()).isEmpty();
    return last;
  }

  /** What a command says, run at some place. */
  static String output(List<String> place, String... words) throws IOException {
    var command = new ArrayList<>(place);
    command.addAll(List.of(words));
    return new String(new ProcessBuilder(command).redirectErrorStream(true).start().getInputStream().readAllBytes(), StandardCharsets.UTF_8);
  }

  /** A number of TCP in {@code /proc/net/snmp} at some place, such as {@code EstabResets}. */
  static long tcpCount(List<String> place, String name) throws IOException {
    return count(place, "/proc/net/snmp", "Tcp:", name);
  }

  /** A number in a file of two lines for each kind, names and values ({@code man 5 proc_pid_net}). */
  static long count(List<String> place, String file, String kind, String name) throws IOException {
    var lines = output(place, "cat", file).lines().filter(line -> line.startsWith(kind)).toList();
    return Long.parseLong(lines.get(1).split(" ")[List.of(lines.get(0).split(" ")).indexOf(name)]);
  }

  @Override
  public void close() {
    process.destroyForcibly();
  }
}
