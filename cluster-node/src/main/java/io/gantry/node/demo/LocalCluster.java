package io.gantry.node.demo;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlClient;
import io.gantry.node.control.ControlSocket;
import io.gantry.node.daemon.NodeLauncher;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;

/**
 * Two or more nodes on this machine, each a JVM of its own with a state directory in a temporary place, and everything they leave
 * behind removed at the end: also when this process is told to end, and when nodes have been killed. Thread-safe.
 */
public final class LocalCluster implements AutoCloseable {
  /** Variable that marks all processes of this cluster's containers. */
  public static final String MARK = "GANTRY_LOCAL_CLUSTER";

  private static final Duration JOINED_MAX = Duration.ofSeconds(60);
  private static final Duration ENDED_MAX = Duration.ofSeconds(10);

  private final Path directory;
  private final List<Member> members = Collections.synchronizedList(new ArrayList<>());
  private final Set<Long> pids = Collections.synchronizedSet(new HashSet<>());
  private final Set<String> containers = Collections.synchronizedSet(new HashSet<>());
  private final AtomicBoolean closed = new AtomicBoolean();
  private final Object removal = new Object();
  private boolean removed;
  private final Thread hook;

  /** One node. @param process its JVM */
  public record Member(String name, String address, Path stateDirectory, Process process, ObjectNode ready) {
    /** Asks this node. */
    public ControlClient client() {
      return new ControlClient(ControlSocket.in(stateDirectory));
    }
  }

  /**
   * Where a node is to be.
   *
   * @param before what stands before its command, such as one that enters a network namespace; must become the command
   * @param arguments further ones of {@code gantry node}
   */
  public record Place(String name, String address, List<String> before, List<String> arguments) {}

  private LocalCluster(Path directory) {
    this.directory = directory;
    hook = new Thread(this::removeEverything, "local-cluster-cleanup");
    Runtime.getRuntime().addShutdownHook(hook);
  }

  /**
   * Starts nodes at 127.0.0.2, 127.0.0.3 and so on, and waits until they see each other.
   *
   * @param names one per node
   * @throws CommandException with the sentence of the node that did not start; nothing is left behind then
   */
  public static LocalCluster start(String... names) {
    var places = new ArrayList<Place>();
    for (String name : names) {
      places.add(new Place(name, "127.0.0." + (places.size() + 2), List.of(), List.of()));
    }
    return start(places);
  }

  /** Starts nodes at these places, and waits until they see each other. As above. */
  public static LocalCluster start(List<Place> places) {
    Path directory;
    try {
      directory =
          Files.createTempDirectory("gantry-", PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x")));
    } catch (IOException failure) {
      throw new CommandException(
          ExitCode.FAILED, "No temporary directory can be made in " + System.getProperty("java.io.tmpdir") + ": " + failure.getMessage(), failure);
    }
    var cluster = new LocalCluster(directory);
    try {
      cluster.startAll(places);
      return cluster;
    } catch (RuntimeException failure) {
      cluster.close();
      throw failure;
    }
  }

  private void startAll(List<Place> places) {
    var starting = new ArrayList<CompletableFuture<Member>>();
    for (Place place : places) {
      starting.add(
          CompletableFuture.supplyAsync(
              () -> start(place, places.getFirst().address()), task -> Thread.ofPlatform().name("start-" + place.name()).daemon().start(task)));
    }
    for (var member : starting) {
      try {
        members.add(member.join());
      } catch (CompletionException failed) {
        throw failed.getCause() instanceof CommandException sentence ? sentence : failed;
      }
    }
    awaitJoined(places.size());
  }

  private Member start(Place place, String first) {
    Path stateDirectory = directory.resolve(place.name());
    var arguments = new ArrayList<>(List.of("--name", place.name(), "--bind", place.address(), "--state-dir", stateDirectory.toString()));
    arguments.addAll(place.arguments());
    // Should this process be killed, the nodes end and remove everything by themselves.
    arguments.addAll(List.of("--temporary-for", Long.toString(ProcessHandle.current().pid())));
    if (!place.address().equals(first)) {
      arguments.addAll(List.of("--join", first));
    }
    NodeLauncher.Started started = NodeLauncher.start(stateDirectory, place.before(), arguments, this::born);
    return new Member(place.name(), place.address(), stateDirectory, started.process(), started.ready());
  }

  private void born(Process process) {
    pids.add(process.pid());
    if (closed.get()) {
      process.destroyForcibly();
    }
  }

  /** Whether everything is being removed because this process was told to end. What is going on then fails, and nobody is to hear of it. */
  public boolean isClosing() {
    return closed.get();
  }

  private void awaitJoined(int count) {
    long deadlineNs = System.nanoTime() + JOINED_MAX.toNanos();
    for (Member member : members) {
      while (reachable(member) < count) {
        if (System.nanoTime() > deadlineNs) {
          throw new CommandException(
              ExitCode.UNREACHABLE,
              "The nodes did not find each other within " + JOINED_MAX.toSeconds() + " s. Their logs are in " + directory + ".");
        }
        LockSupport.parkNanos(100_000_000);
      }
    }
  }

  private static long reachable(Member member) {
    long count = 0;
    for (var node : member.client().call(ControlClient.request("nodes")).path("nodes")) {
      count += node.path("reachable").asBoolean() ? 1 : 0;
    }
    return count;
  }

  /** Where things of this cluster may be put; deleted at the end. */
  public Path directory() {
    return directory;
  }

  /** The nodes, in the order of their addresses. */
  public List<Member> members() {
    return List.copyOf(members);
  }

  /**
   * Starts a container on the first node.
   *
   * @param workingDirectory exists
   * @return what {@code gantry run --json} prints
   */
  public ObjectNode run(String container, List<String> command, Path workingDirectory) {
    ObjectNode request = ControlClient.request("run").put("container", container).put("cwd", workingDirectory.toString());
    var words = request.putArray("argv");
    command.forEach(words::add);
    request.putObject("env").put("PATH", System.getenv().getOrDefault("PATH", "/usr/bin:/bin")).put(MARK, directory.toString());
    containers.add(container);
    return members.getFirst().client().call(request);
  }

  /** Starts a container on the first node that runc makes from a bundle, whose environment must have {@link #mark}. */
  public ObjectNode runBundle(String container, Path bundle) {
    containers.add(container);
    return members.getFirst().client().call(
        ControlClient.request("run-bundle").put("container", container).put("id", container).put("runtime", "runc").put("bundle", bundle.toString()));
  }

  /** A variable and its value, by which the processes of this cluster's containers are known. */
  public String mark() {
    return MARK + "=" + directory;
  }

  /** Ends a container, wherever it is. */
  public void stop(String container) {
    members.getFirst().client().call(ControlClient.request("stop").put("container", container));
    containers.remove(container);
  }

  @Override
  public void close() {
    removeEverything();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException ending) {
      // The hook is running or has run; both are fine.
      return;
    }
  }

  private void removeEverything() {
    closed.set(true);
    synchronized (removal) {
      if (removed) {
        return;
      }
      removed = true;
      for (String container : Set.copyOf(containers)) {
        try {
          stop(container);
        } catch (RuntimeException gone) {
          // What the node cannot stop any more is killed below.
          continue;
        }
      }
      for (Long pid : Set.copyOf(pids)) {
        ProcessHandle.of(pid).ifPresent(ProcessHandle::destroy);
      }
      for (Long pid : Set.copyOf(pids)) {
        ProcessHandle.of(pid)
            .ifPresent(
                process -> {
                  if (!LeftOvers.await(process, ENDED_MAX)) {
                    process.destroyForcibly();
                    LeftOvers.await(process, ENDED_MAX);
                  }
                });
      }
      LeftOvers.kill(MARK, directory.toString());
      try {
        LeftOvers.deleteAeronDirectories(Set.copyOf(pids));
        LeftOvers.deleteTree(directory);
      } catch (IOException failure) {
        System.err.println("gantry: something is left in " + directory + ": " + failure.getMessage());
      }
    }
  }
}
