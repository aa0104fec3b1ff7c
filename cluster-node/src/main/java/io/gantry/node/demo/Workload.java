package io.gantry.node.demo;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import io.gantry.node.daemon.JavaProcess;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/** A program of {@code io.gantry.node.workload} in a container of a {@link LocalCluster}. One thread at a time. */
public final class Workload {
  private static final Duration STATUS_MAX = Duration.ofSeconds(20);

  private final LocalCluster cluster;
  private final String container;
  private final Path directory;
  private final Path status;
  private int where;

  private Workload(LocalCluster cluster, String container, Path directory) {
    this.cluster = cluster;
    this.container = container;
    this.directory = directory;
    status = directory.resolve("status.json");
  }

  /**
   * Starts a program on the first node and waits until it is running.
   *
   * @param program its class
   * @param arguments behind the directory for its files
   */
  public static Workload start(LocalCluster cluster, String container, Class<?> program, String... arguments) {
    Path directory = cluster.directory().resolve("work-" + container);
    try {
      Files.createDirectory(directory);
    } catch (IOException failure) {
      throw new CommandException(ExitCode.FAILED, "The program's directory cannot be made: " + failure.getMessage(), failure);
    }
    var command = new ArrayList<String>();
    command.add(JavaProcess.java().toString());
    // Small, and no file in /tmp that a second one with the same process id in another container would share.
    command.addAll(List.of("-XX:+UseSerialGC", "-Xms32m", "-Xmx64m", "-XX:-UsePerfData", "-XX:CICompilerCount=2"));
    command.addAll(List.of("-cp", JavaProcess.classPath(), program.getName(), directory.toString()));
    command.addAll(List.of(arguments));
    var workload = new Workload(cluster, container, directory);
    cluster.run(container, command, directory);
    WorkloadStatus.await(workload.status, "was not ready", Duration.ofSeconds(120), state -> !state.state().equals("starting"));
    return workload;
  }

  /** Name of the node it is on. */
  public String node() {
    return cluster.members().get(where).name();
  }

  /**
   * Moves it to the other of the two nodes.
   *
   * @param request further fields of the request
   * @return the result, with {@code program_pause_ms} added: the longest gap that the program saw by its own clock meanwhile
   */
  public ObjectNode move(ObjectNode request, Consumer<ObjectNode> progress) {
    LocalCluster.Member from = cluster.members().get(where);
    int target = 1 - where;
    long beganNs = System.nanoTime();
    ObjectNode command = ControlClient.request("migrate").put("container", container).put("to", cluster.members().get(target).name());
    request.properties().forEach(field -> command.set(field.getKey(), field.getValue()));
    ObjectNode result = from.client().call(command, progress);
    long endedNs = System.nanoTime();
    if (result.path("outcome").asText().equals("completed")) {
      where = target;
    }
    WorkloadStatus after =
        WorkloadStatus.await(status, "did not go on after the move", STATUS_MAX, state -> state.writtenNs() > endedNs + 30_000_000L);
    return result.put("program_pause_ms", io.gantry.node.Json.round(after.longestGapMs(beganNs, endedNs + 30_000_000L)));
  }

  /** What it says about itself now. */
  public WorkloadStatus status() {
    return WorkloadStatus.await(status, "did not say how it is", STATUS_MAX, state -> true);
  }

  /** Asks it to end and returns at once. */
  public void requestEnd() {
    try {
      Files.createFile(directory.resolve("stop"));
    } catch (IOException failure) {
      throw new CommandException(ExitCode.FAILED, "The program cannot be asked to end: " + failure.getMessage(), failure);
    }
  }

  /** Asks it to end, waits for its last word, and removes the container. */
  public WorkloadStatus end() {
    requestEnd();
    WorkloadStatus last = WorkloadStatus.await(status, "did not end", Duration.ofSeconds(60), state -> state.state().equals("ended"));
    cluster.stop(container);
    return last;
  }
}
