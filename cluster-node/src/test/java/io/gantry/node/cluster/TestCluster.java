package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.Json;
import io.gantry.node.control.ControlClient;
import io.gantry.node.control.ControlSocket;
import io.gantry.node.daemon.CgroupName;
import io.gantry.node.daemon.JavaProcess;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;

/**
 * Real nodes for a test: each a JVM of its own, from the classes that were just built, with a state directory in a temporary place,
 * on loopback addresses of this test run alone, or each in a network namespace of its own. {@link #close()} ends everything and then fails the test when anything
 * was left behind: a process, cgroup, mount, network namespace, a buffer in {@code /dev/shm}, a file.
 *
 * <p>Needs root. One thread, unless a method says otherwise.
 */
public final class TestCluster implements AutoCloseable {
  /** Variable by which everything that this cluster's nodes and containers start is known. */
  public static final String MARK = "GANTRY_TEST_CLUSTER";

  private static final Duration READY_MAX = Duration.ofSeconds(90);
  private static final Duration JOINED_MAX = Duration.ofSeconds(60);
  private static final Duration ENDED_MAX = Duration.ofSeconds(30);

  private final Path directory;
  private final String mark;
  private final Optional<TestNetwork> network;
  private final List<String> extra;
  private final boolean smallDisks;
  private final boolean uptimes;
  private final List<String> others;
  private final List<Node> nodes = new ArrayList<>();

  private TestCluster(Options options) throws IOException {
    assertThat(System.getProperty("user.name")).as("tests with real nodes need root").isEqualTo("root");
    directory = Files.createTempDirectory("gantry-test-");
    // The container's program may run as somebody else and must find its files.
    Files.setPosixFilePermissions(directory, java.nio.file.attribute.PosixFilePermissions.fromString("rwxr-xr-x"));
    mark = directory.getFileName().toString();
    network = options.namespaces ? Optional.of(TestNetwork.create(mark, options.count)) : Optional.empty();
    extra = options.arguments;
    smallDisks = options.smallDisks;
    uptimes = options.uptimes;
    others = options.others;
  }

  /**
   * How a cluster is to be.
   *
   * @param count nodes
   * @param namespaces whether each has a network namespace of its own
   * @param smallDisks whether each state directory is a file system of its own that can be {@linkplain Node#fillDisk filled}
   * @param uptimes whether each node after the first sees clocks that are 100,000 s more ahead
   * @param arguments further ones for {@code gantry node}
   * @param others what stands before the command of each node after the first
   */
  public record Options(int count, boolean namespaces, boolean smallDisks, boolean uptimes, List<String> arguments, List<String> others) {
    public Options(int count, boolean namespaces, boolean smallDisks, boolean uptimes, List<String> arguments) {
      this(count, namespaces, smallDisks, uptimes, arguments, List.of());
    }

    public Options(int count, boolean namespaces, boolean smallDisks, List<String> arguments) {
      this(count, namespaces, smallDisks, false, arguments);
    }

    public static Options nodes(int count) {
      return new Options(count, false, false, false, List.of());
    }

    /** Ready sooner; for tests that do not look at pauses. */
    public Options withoutRehearsal() {
      var more = new ArrayList<>(arguments);
      more.add("--no-rehearsal");
      return new Options(count, namespaces, smallDisks, uptimes, List.copyOf(more), others);
    }

    /** @param command what stands before the command of each node after the first */
    public Options withOthersIn(List<String> command) {
      return new Options(count, namespaces, smallDisks, uptimes, arguments, command);
    }

    public Options onSmallDisks() {
      return new Options(count, namespaces, true, uptimes, arguments, others);
    }

    public Options inNamespaces() {
      return new Options(count, true, smallDisks, uptimes, arguments, others);
    }

    /** As if the hosts had been started at different times. */
    public Options withOtherUptimes() {
      return new Options(count, namespaces, smallDisks, true, arguments, others);
    }
  }

  /** Nodes named {@code n0}, {@code n1} and so on, which all see each other when this returns. */
  public static TestCluster start(Options options) throws IOException {
    var cluster = new TestCluster(options);
    try {
      var starting = new ArrayList<CompletableFuture<Void>>();
      for (int i = 0; i < options.count(); i++) {
        Node node = cluster.new Node(i);
        cluster.nodes.add(node);
        starting.add(CompletableFuture.runAsync(node::start, task -> Thread.ofPlatform().name("start-node").start(task)));
      }
      starting.forEach(CompletableFuture::join);
      cluster.awaitReachable(options.count());
      return cluster;
    } catch (RuntimeException | Error failure) {
      try {
        cluster.close();
      } catch (RuntimeException | Error second) {
        failure.addSuppressed(second);
      }
      throw failure;
    }
  }

  /** Nodes on loopback addresses. */
  public static TestCluster start(int count) throws IOException {
    return start(Options.nodes(count));
  }

  /**
   * A loopback address that no other test run on this host has: all of 127.0.0.0/8 is this host (RFC 1122), and the process id is in it.
   *
   * @param host last byte, 1 to 254
   */
  public static String loopback(int host) {
    long pid = ProcessHandle.current().pid();
    return "127." + (16 + (pid >> 8 & 0x7f)) + "." + (pid & 0xff) + "." + host;
  }

  public Node node(int index) {
    return nodes.get(index);
  }

  /** Gives the nodes, which must be in namespaces, a network for containers; as {@link TestNetwork#joinContainers}. */
  public List<String> joinContainers() {
    return network.orElseThrow().joinContainers();
  }

  /** A directory that is removed at the end; for the files of workloads. */
  public Path directory() {
    return directory;
  }

  /** Waits until every living node sees so many reachable nodes. */
  public void awaitReachable(int count) {
    long deadlineNs = System.nanoTime() + JOINED_MAX.toNanos();
    for (Node node : nodes) {
      while (node.isAlive() && node.reachable() != count) {
        assertThat(System.nanoTime()).as(node.name + " does not see " + count + " nodes:\n" + node.log()).isLessThan(deadlineNs);
        java.util.concurrent.locks.LockSupport.parkNanos(100_000_000);
      }
    }
  }

  /**
   * Moves a container from one of two nodes to the other, with a digest over every page; what is rolled back, as it may be on a busy host, is tried again.
   *
   * @return the outcome, which is completed
   */
  public ObjectNode moveVerified(String container, int from, int triesMax) {
    Node source = node(from % 2);
    Node destination = node((from + 1) % 2);
    ObjectNode outcome = source.migrateVerified(container, destination);
    for (int i = 1; i < triesMax && outcome.path("outcome").asText().equals("rolled-back"); i++) {
      System.out.println(container + ", rolled back: " + outcome.path("reason").asText());
      outcome = source.migrateVerified(container, destination);
    }
    assertThat(outcome.path("outcome").asText()).as(outcome + "\n" + node(0).log() + node(1).log()).isEqualTo("completed");
    return outcome;
  }

  /** Ends nodes and containers, removes everything, and then fails when something was left. */
  @Override
  public void close() {
    var logs = new StringBuilder();
    for (Node node : nodes) {
      if (node.isAlive()) {
        node.stopContainers();
      }
    }
    for (Node node : nodes) {
      node.terminate();
      logs.append("--- ").append(node.name).append('\n').append(node.log());
    }
    List<String> killed = LeakCheck.killMarked(MARK, mark);
    network.ifPresent(TestNetwork::close);
    nodes.forEach(Node::removeDisk);
    try (var files = Files.walk(directory)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(file);
      }
    } catch (IOException failure) {
      throw new AssertionError("the cluster's files in " + directory + " cannot be removed (is something mounted there?)", failure);
    }
    assertThat(killed).as("processes left behind by the cluster; its logs:\n" + logs).isEmpty();
    LeakCheck.assertNothingLeft(names(), logs.toString());
  }

  /** What only this cluster's cgroups, mounts, buffers and namespaces have in their names. */
  private List<String> names() {
    var names = new ArrayList<String>();
    names.add(mark);
    network.ifPresent(net -> names.add(net.prefix()));
    for (Node node : nodes) {
      names.add(CgroupName.of(node.name, node.state));
      // gantry-aeron-PIDNS-PID-START-N, see io.gantry.transport.AeronDirectory.
      node.pids.forEach(pid -> names.add("-" + pid + "-"));
    }
    return names;
  }

  /**
   * What a command came to.
   *
   * @param status exit status
   * @param out standard output
   * @param err standard error
   */
  public record Result(int status, String out, String err) {
    /** What it has said, for a test that fails. */
    public String said() {
      return out + err;
    }

    /** Standard output as exactly one JSON object; anything else fails. */
    public ObjectNode json() {
      try {
        return Json.parse(out);
      } catch (IOException notOne) {
        throw new AssertionError("standard output is not exactly one JSON object: " + out + "\nstandard error: " + err, notOne);
      }
    }
  }

  /** One node. Methods that ask it may be called from any thread. */
  public final class Node {
    private final String name;
    private final String address;
    private final int index;
    private final Path state;
    private final List<Long> pids = new ArrayList<>();
    private Process process;

    private Node(int index) {
      this.index = index;
      name = "n" + index;
      address = network.map(net -> net.address(index)).orElse(loopback(index + 2));
      state = directory.resolve(name);
      if (smallDisks) {
        makeDisk();
      }
    }

    private void makeDisk() {
      try {
        Files.createDirectories(state);
      } catch (IOException failure) {
        throw new AssertionError(failure);
      }
      TestNetwork.run("mount", "-t", "tmpfs", "-o", "size=32m,mode=0700", "gantry-test", state.toString());
    }

    private void removeDisk() {
      if (smallDisks) {
        TestNetwork.run("umount", state.toString());
      }
    }

    /** Leaves not one free block on the file system of its state directory, or frees it again; only with small disks. */
    public void fillDisk(boolean full) {
      Path filler = state.resolve("filler");
      try {
        if (!full) {
          Files.deleteIfExists(filler);
          return;
        }
        byte[] piece = new byte[4096];
        try (var out = Files.newOutputStream(filler)) {
          for (int written = 0; written < 64 << 20; written += piece.length) {
            out.write(piece);
          }
        } catch (IOException noSpace) {
          return;
        }
        throw new AssertionError("the disk of " + name + " is not small");
      } catch (IOException failure) {
        throw new AssertionError(failure);
      }
    }

    public String name() {
      return name;
    }

    public String address() {
      return address;
    }

    public Path stateDirectory() {
      return state;
    }

    /** Its process id. */
    public long pid() {
      return process.pid();
    }

    public boolean isAlive() {
      return process != null && process.isAlive();
    }

    /** Starts it, or starts it again on the same state directory, and waits until it is ready. */
    public void start() {
      start(true);
    }

    /** Starts the first node again as an operator does: with the arguments it had, which name nobody to join. */
    public void startAsBefore() {
      start(false);
    }

    private void start(boolean joinOthers) {
      var arguments = new ArrayList<>(List.of("--name", name, "--bind", address, "--state-dir", state.toString()));
      if (index > 0) {
        arguments.addAll(List.of("--join", network.map(net -> net.address(0)).orElse(loopback(2))));
      } else if (joinOthers && nodes.size() > 1 && Files.exists(state.resolve("node.log"))) {
        // The first one began the cluster; when it comes back it joins the others.
        arguments.addAll(List.of("--join", nodes.get(1).address));
      }
      arguments.addAll(extra);
      arguments.addAll(List.of("--foreground", "--report-ready"));
      var command = new ArrayList<String>();
      network.ifPresent(net -> command.addAll(net.enter(index)));
      if (uptimes && index > 0) {
        command.addAll(List.of("unshare", "--time", "--monotonic", Long.toString(100_000L * index), "--boottime", Long.toString(200_000L * index)));
      }
      if (index > 0) {
        command.addAll(others);
      }
      command.add("setsid");
      command.addAll(JavaProcess.node(arguments));
      try {
        Files.createDirectories(state);
        var builder = new ProcessBuilder(command);
        builder.environment().put(MARK, mark);
        process =
            builder
                .directory(new File("/"))
                .redirectInput(new File("/dev/null"))
                .redirectError(ProcessBuilder.Redirect.appendTo(state.resolve("node.stderr").toFile()))
                .start();
        pids.add(process.pid());
        ObjectNode said = Json.parse(Optional.ofNullable(firstLine(process)).orElse("{}"));
        assertThat(said.has("ready")).as(name + " is not ready: " + said + "\n" + log()).isTrue();
      } catch (IOException failure) {
        throw new AssertionError(name + " cannot be started", failure);
      }
    }

    private static String firstLine(Process process) {
      var line =
          CompletableFuture.supplyAsync(
              () -> {
                try {
                  return new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8)).readLine();
                } catch (IOException gone) {
                  return null;
                }
              },
              task -> Thread.ofPlatform().daemon().start(task));
      try {
        return line.get(READY_MAX.toMillis(), TimeUnit.MILLISECONDS);
      } catch (TimeoutException | java.util.concurrent.ExecutionException late) {
        process.destroyForcibly();
        throw new AssertionError("a node was not ready within " + READY_MAX, late);
      } catch (InterruptedException interrupted) {
        Thread.currentThread().interrupt();
        throw new AssertionError("interrupted", interrupted);
      }
    }

    /** {@code kill -9}. Returns when it is gone. */
    public void kill() {
      process.destroyForcibly();
      awaitEnd();
    }

    /** SIGTERM, as an operator would. Returns when it is gone; its containers run on. */
    public void terminate() {
      if (isAlive()) {
        process.destroy();
        awaitEnd();
      }
    }

    private void awaitEnd() {
      try {
        assertThat(process.waitFor(ENDED_MAX.toMillis(), TimeUnit.MILLISECONDS)).as(name + " does not end").isTrue();
      } catch (InterruptedException interrupted) {
        Thread.currentThread().interrupt();
        throw new AssertionError("interrupted", interrupted);
      }
    }

    /** Its log so far. */
    public String log() {
      var text = new StringBuilder();
      for (String file : new String[] {"node.stderr", "node.log"}) {
        try {
          text.append(Files.readString(state.resolve(file)));
        } catch (IOException none) {
          text.append("(no ").append(file).append(")\n");
        }
      }
      return text.toString();
    }

    /** Asks over its control socket. */
    public ObjectNode ask(ObjectNode request) {
      return new ControlClient(ControlSocket.in(state)).call(request);
    }

    /** As {@link #ask(ObjectNode)}; {@code progress} gets every intermediate object on this thread. */
    public ObjectNode ask(ObjectNode request, Consumer<ObjectNode> progress) {
      return new ControlClient(ControlSocket.in(state)).call(request, progress);
    }

    /** What stands before a command that is to run in this node's network; empty when that is the host's. */
    public List<String> enter() {
      return network.map(net -> net.enter(index)).orElse(List.of());
    }

    /** Takes its network link down or up; only for nodes in namespaces of their own. */
    public void setLink(boolean up) {
      network.orElseThrow().setLink(index, up);
    }

    /** Lets what it sends to the other hosts vanish, or not any more; only for nodes in namespaces of their own. */
    public void setSending(boolean up) {
      network.orElseThrow().setSending(index, up);
    }

    /** Sends it a signal, such as {@code STOP}. */
    public void signal(String signal) {
      try {
        Process kill = new ProcessBuilder("kill", "-" + signal, Long.toString(pid())).start();
        assertThat(kill.waitFor()).as("kill -" + signal).isZero();
      } catch (IOException failure) {
        throw new AssertionError(failure);
      } catch (InterruptedException interrupted) {
        Thread.currentThread().interrupt();
        throw new AssertionError("interrupted", interrupted);
      }
    }

    private long reachable() {
      long count = 0;
      for (JsonNode entry : ask(ControlClient.request("nodes")).path("nodes")) {
        count += entry.path("reachable").asBoolean() ? 1 : 0;
      }
      return count;
    }

    /** What this node knows about a container; empty when it knows none of that name. */
    public Optional<JsonNode> container(String container) {
      for (JsonNode entry : ask(ControlClient.request("ps")).path("containers")) {
        if (entry.path("name").asText().equals(container)) {
          return Optional.of(entry);
        }
      }
      return Optional.empty();
    }

    /** Starts a container here, with this process's environment, the cluster's mark and {@code environment}. */
    public ObjectNode run(String container, Path workingDirectory, Map<String, String> environment, String... command) {
      return ask(birth(container, workingDirectory, environment, command));
    }

    /** Starts a container with a network of its own, as {@code --network} describes it. */
    public ObjectNode runInNetwork(String container, String described, String... command) {
      return ask(birth(container, directory, Map.of(), command).put("network", described));
    }

    /** Starts a container with volumes. */
    public ObjectNode runWithVolumes(String container, List<Path> volumes, String... command) {
      var request = birth(container, directory, Map.of(), command);
      var paths = request.putArray("volumes");
      volumes.forEach(volume -> paths.add(volume.toString()));
      return ask(request);
    }

    private ObjectNode birth(String container, Path workingDirectory, Map<String, String> environment, String... command) {
      ObjectNode request = ControlClient.request("run").put("container", container).put("cwd", workingDirectory.toString());
      var words = request.putArray("argv");
      for (String word : command) {
        words.add(word);
      }
      var all = new HashMap<String, String>();
      all.put("PATH", System.getenv().getOrDefault("PATH", "/usr/bin:/bin"));
      all.put(MARK, mark);
      all.putAll(environment);
      ObjectNode variables = request.putObject("env");
      all.forEach(variables::put);
      return request;
    }

    /** Starts a container here. */
    public ObjectNode run(String container, String... command) {
      return run(container, directory, Map.of(), command);
    }

    /** Moves a container away from here, with default options. */
    public ObjectNode migrate(String container, Node to) {
      return ask(migration(container, to));
    }

    /** As {@link #migrate(String, Node)}, with a digest over every page at the commit. */
    public ObjectNode migrateVerified(String container, Node to) {
      return ask(migration(container, to).put("verify", true));
    }

    private static ObjectNode migration(String container, Node to) {
      return ControlClient.request("migrate").put("container", container).put("to", to.name).put("deadline_ms", 60_000);
    }

    private void stopContainers() {
      try {
        for (JsonNode entry : ask(ControlClient.request("ps")).path("containers")) {
          ask(ControlClient.request("stop").put("container", entry.path("name").asText()));
        }
      } catch (RuntimeException unable) {
        // What cannot be stopped is found, killed and reported as left behind.
        System.err.println(name + ": " + unable.getMessage());
      }
    }

    /** Runs {@code gantry} against this node as a process of its own. */
    public Result cli(String... words) {
      var command = new ArrayList<String>();
      network.ifPresent(net -> command.addAll(net.enter(index)));
      command.addAll(List.of(JavaProcess.java().toString(), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"));
      command.addAll(List.of("--enable-native-access=ALL-UNNAMED", "-Dgantry.home=" + JavaProcess.home()));
      command.addAll(List.of("-cp", JavaProcess.classPath(), "io.gantry.node.Main"));
      command.addAll(List.of(words));
      try {
        Path out = Files.createTempFile(directory, "out", "");
        Path err = Files.createTempFile(directory, "err", "");
        var builder = new ProcessBuilder(command);
        builder.environment().put(MARK, mark);
        builder.environment().put(ControlSocket.STATE_DIRECTORY_VARIABLE, state.toString());
        Process client = builder.redirectOutput(out.toFile()).redirectError(err.toFile()).start();
        if (!client.waitFor(120, TimeUnit.SECONDS)) {
          client.destroyForcibly();
          throw new AssertionError("gantry " + String.join(" ", words) + " did not end");
        }
        return new Result(client.exitValue(), Files.readString(out), Files.readString(err));
      } catch (IOException failure) {
        throw new AssertionError("gantry cannot be started", failure);
      } catch (InterruptedException interrupted) {
        Thread.currentThread().interrupt();
        throw new AssertionError("interrupted", interrupted);
      }
    }
  }
}
