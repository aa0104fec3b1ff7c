package io.gantry.node.daemon;

import akka.actor.typed.ActorRef;
import akka.actor.typed.javadsl.AskPattern;
import akka.cluster.typed.Cluster;
import akka.cluster.typed.Join;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.typesafe.config.ConfigFactory;
import io.gantry.actors.GantryNodeSystem;
import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationOutcome;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.NodeInfo;
import io.gantry.actors.NodeSettings;
import io.gantry.actors.PageLinks;
import io.gantry.checkpoint.LiveEngine;
import io.gantry.node.Json;
import io.gantry.node.demo.WorkloadStatus;
import io.gantry.node.workload.PageWriter;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Two throwaway nodes within this one, on ports that the system chooses, form a cluster of their own and move a throwaway process there and back,
 * again and again: through the same actors, messages, ledgers, engine and page stream as every other move. So the code of a move is compiled before
 * the first real one needs it, and a host on which moving does not work is noticed at once. Used once, by one thread.
 */
final class Rehearsal implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Rehearsal.class);

  /** What the throwaway program holds and writes: little, but with the threads of a JVM, so that every part of a pause has something to do. */
  private static final List<String> ARGUMENTS = List.of(Long.toString(16L << 20), "50", "10");

  /** It ends by itself, should this node be killed meanwhile. */
  private static final long LIFE_SECONDS = 60;

  /** Of the throwaway nodes' actor systems, which therefore can never meet a real one, and the beginning of their threads' names. */
  static final String SYSTEM_NAME = "rehearsal";

  private static final String CONTAINER = "rehearsal";

  /** However slow the host is: fewer leave the code of a move to the interpreter. */
  private static final int MOVES_MIN = 10;

  private static final int MOVES_MAX = 40;
  private static final Duration STEP_MAX = Duration.ofSeconds(15);
  private static final long LOOK_NS = 20_000_000;

  /** A cluster of two that lives for seconds has no reason to take its time. */
  private static final String QUICK_CLUSTER =
      GantryNodeSystem.SYSTEM_NAME
          + " = "
          + SYSTEM_NAME
          + """

      akka.cluster {
        gossip-interval = 50 ms
        leader-actions-interval = 50 ms
        periodic-tasks-initial-delay = 10 ms
        unreachable-nodes-reaper-interval = 500 ms
      }
      """;

  private final NodeConfig config;
  private final PageLinks links;
  private final Path directory;
  private final Duration longest;
  private final Deque<GantryNodeSystem> nodes = new ArrayDeque<>();
  private final Deque<LiveEngine> engines = new ArrayDeque<>();

  /**
   * @param config of the node that rehearses: the throwaway nodes have its address, its security and its limits
   * @param links the node's own
   * @param directory for the throwaway nodes' files; made and removed
   * @param longest since the first move began: after this no further one begins, unless there were very few
   */
  Rehearsal(NodeConfig config, PageLinks links, Path directory, Duration longest) {
    this.config = config;
    this.links = links;
    this.directory = directory;
    this.longest = longest;
  }

  /**
   * How it went.
   *
   * @param passed whether every move worked
   * @param moves how many there were
   * @param firstPauseMs the pause of the first, cold
   * @param lastPauseMs the pause of the last
   * @param fixedMs the pause of the last without the time for its last pages
   * @param shape what was moved
   * @param totalMs all of it
   * @param sentence what went wrong, or empty
   */
  record Result(boolean passed, int moves, double firstPauseMs, double lastPauseMs, double fixedMs, Shape shape, double totalMs, String sentence) {
    ObjectNode json() {
      return Json.object()
          .put("passed", passed)
          .put("moves", moves)
          .put("first_pause_ms", Json.round(firstPauseMs))
          .put("last_pause_ms", Json.round(lastPauseMs))
          .put("total_ms", Json.round(totalMs))
          .put("sentence", sentence);
    }
  }

  /** How much there is to stop and to recreate. */
  record Shape(int processes, int threads, int descriptors) {}

  /** Does it. {@link #close()} removes what is left of it, also when it fails. */
  Result run() {
    long beganNs = System.nanoTime();
    var outcomes = new ArrayList<MigrationOutcome>();
    var shape = new Shape(0, 0, 0);
    String sentence = "";
    try {
      GantryNodeSystem one = startNode(0, List.of());
      GantryNodeSystem other = startNode(1, List.of(one.address()));
      awaitTogether();
      runProgram(one);
      shape = shape(one);
      long firstNs = System.nanoTime();
      while (outcomes.size() < MOVES_MAX && (outcomes.size() < MOVES_MIN || System.nanoTime() - firstNs < longest.toNanos())) {
        boolean there = outcomes.size() % 2 == 1;
        outcomes.add(move(there ? other : one, name(there ? 0 : 1)));
      }
      Rehearsal.<NodeCommand.StopReply>ask(one, replyTo -> new NodeCommand.StopContainer(CONTAINER, replyTo));
    } catch (RuntimeException | IOException | ExecutionException failure) {
      LOG.error("The rehearsal failed after {} moves", outcomes.size(), failure);
      sentence = failure.getMessage() == null ? failure.toString() : failure.getMessage();
    } catch (TimeoutException late) {
      LOG.error("The rehearsal failed after {} moves", outcomes.size(), late);
      sentence = "Something took longer than " + STEP_MAX.toSeconds() + " s.";
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      sentence = "It was interrupted.";
    }
    double first = outcomes.isEmpty() ? 0 : outcomes.getFirst().pauseMs();
    double last = outcomes.isEmpty() ? 0 : outcomes.getLast().pauseMs();
    double fixed = outcomes.isEmpty() ? 0 : last - outcomes.getLast().phasesMs().lastPages();
    return new Result(sentence.isEmpty(), outcomes.size(), first, last, fixed, shape, (System.nanoTime() - beganNs) / 1e6, sentence);
  }

  private static String name(int index) {
    return "rehearsal-" + index;
  }

  private GantryNodeSystem startNode(int index, List<String> join) throws IOException {
    Path own = Files.createDirectories(directory.resolve(name(index)));
    LiveEngine engine = new LiveEngine(CgroupName.of(name(index), own));
    engines.push(engine);
    NodeSettings settings =
        NodeSettings.of(name(index), config.bind(), own)
            .withPort(0)
            .withJoin(join)
            .withOverrides(ConfigFactory.parseString(QUICK_CLUSTER).withFallback(config.overrides()));
    GantryNodeSystem node = GantryNodeSystem.start(settings, engine, links);
    nodes.push(node);
    if (join.isEmpty()) {
      Cluster cluster = Cluster.get(node.system());
      cluster.manager().tell(Join.create(cluster.selfMember().address()));
    }
    return node;
  }

  private void awaitTogether() throws InterruptedException, ExecutionException, TimeoutException {
    long endNs = System.nanoTime() + STEP_MAX.toNanos();
    for (GantryNodeSystem node : nodes) {
      while (reachable(node) < nodes.size()) {
        if (System.nanoTime() > endNs) {
          throw new TimeoutException();
        }
        LockSupport.parkNanos(LOOK_NS);
      }
    }
  }

  private static long reachable(GantryNodeSystem node) throws InterruptedException, ExecutionException, TimeoutException {
    NodeCommand.NodeList list = ask(node, NodeCommand.ListNodes::new);
    return list.nodes().stream().filter(NodeInfo::reachable).filter(entry -> !entry.kernel().isEmpty()).count();
  }

  private void runProgram(GantryNodeSystem node) throws IOException, InterruptedException, ExecutionException, TimeoutException {
    var command = new ArrayList<String>();
    command.add(JavaProcess.java().toString());
    command.addAll(List.of("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx16m", "-XX:-UsePerfData", "-cp", JavaProcess.classPath()));
    command.addAll(List.of(PageWriter.class.getName(), directory.toString()));
    command.addAll(ARGUMENTS);
    command.add(Long.toString(LIFE_SECONDS));
    var environment = Map.of("PATH", "/usr/bin:/bin");
    NodeCommand.RunReply reply =
        ask(node, replyTo -> new NodeCommand.RunContainer(CONTAINER, Optional.empty(), command, environment, directory.toString(), replyTo));
    if (reply instanceof NodeCommand.Rejected rejected) {
      throw new IOException(rejected.sentence());
    }
    WorkloadStatus.await(directory.resolve("status.json"), "of the rehearsal was not ready", STEP_MAX, status -> status.state().equals("running"));
  }

  private static Shape shape(GantryNodeSystem node) throws IOException, InterruptedException, ExecutionException, TimeoutException {
    NodeCommand.DescribeReply reply = ask(node, replyTo -> new NodeCommand.DescribeContainer(CONTAINER, replyTo));
    return switch (reply) {
      case NodeCommand.Description description -> {
        int threads = 0;
        int descriptors = 0;
        for (var process : description.processes()) {
          threads += process.threads();
          String[] open = new File("/proc/" + process.pid() + "/fd").list();
          descriptors += open == null ? 0 : open.length;
        }
        yield new Shape(description.processes().size(), threads, descriptors);
      }
      case NodeCommand.Rejected rejected -> throw new IOException(rejected.sentence());
    };
  }

  private static MigrationOutcome move(GantryNodeSystem from, String to)
      throws IOException, InterruptedException, ExecutionException, TimeoutException {
    MigrateOptions options = MigrateOptions.defaults().withDeadline(STEP_MAX);
    NodeCommand.MigrateReply reply =
        ask(from, replyTo -> new NodeCommand.MigrateContainer(CONTAINER, to, options, Optional.empty(), replyTo));
    return switch (reply) {
      case NodeCommand.MigrationEnded ended when ended.outcome().outcome() == MigrationOutcome.Result.COMPLETED -> ended.outcome();
      case NodeCommand.MigrationEnded ended -> throw new IOException(ended.outcome().reason());
      case NodeCommand.Rejected rejected -> throw new IOException(rejected.sentence());
    };
  }

  private static <R> R ask(GantryNodeSystem node, Function<ActorRef<R>, NodeCommand> command)
      throws InterruptedException, ExecutionException, TimeoutException {
    Duration longest = STEP_MAX.multipliedBy(2);
    return AskPattern.<NodeCommand, R>ask(node.commands(), command::apply, longest, node.system().scheduler())
        .toCompletableFuture()
        .get(longest.toMillis() + 1000, TimeUnit.MILLISECONDS);
  }

  /** Ends the throwaway nodes and whatever still runs on them, and removes their files. Takes about a second. */
  @Override
  public void close() {
    while (!nodes.isEmpty()) {
      nodes.pop().close();
    }
    while (!engines.isEmpty()) {
      try (LiveEngine engine = engines.pop()) {
        engine.removeLeftovers(CONTAINER, directory);
      } catch (RuntimeException failure) {
        LOG.warn("What the rehearsal ran could not be removed: {}", failure.getMessage());
      }
    }
    deleteDirectory();
  }

  private void deleteDirectory() {
    if (!Files.isDirectory(directory)) {
      return;
    }
    try (var paths = Files.walk(directory)) {
      for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(path);
      }
    } catch (IOException failure) {
      LOG.warn("What the rehearsal left in {} could not be removed: {}", directory, failure.getMessage());
    }
  }
}
