package io.gantry.simulation;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import akka.actor.typed.javadsl.AskPattern;
import io.gantry.actors.AeronPageLinks;
import io.gantry.actors.GantryNodeSystem;
import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationOutcome;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.NodeInfo;
import io.gantry.actors.NodeSettings;
import io.gantry.actors.NodeStartException;
import io.gantry.simulation.host.HostModel;
import io.gantry.simulation.host.Life;
import io.gantry.simulation.host.StandInEngine;
import io.gantry.simulation.host.Truth;
import io.gantry.simulation.host.VirtualCalls;
import io.gantry.simulation.network.NetworkModel;
import io.gantry.simulation.network.StandInNetwork;
import io.gantry.simulation.network.StandInPageLinks;
import io.gantry.simulation.time.VirtualTime;
import io.gantry.transport.PageTransport;
import io.gantry.transport.TransportOptions;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

/** Two real actor systems in a real cluster, with real page streams and real ledgers on disk; only the engines are stand-ins. */
@Tag("long")
class ClusterOfTwoTest {
  private static final Duration LONG = Duration.ofSeconds(15);

  @TempDir private Path directory;
  private final Truth truth = new Truth(System::nanoTime);
  private final List<AutoCloseable> open = new ArrayList<>();
  private int portA;
  private int portB;
  private GantryNodeSystem a;
  private GantryNodeSystem b;

  @BeforeEach
  void start() throws IOException {
    portA = freePort("127.0.0.2");
    portB = freePort("127.0.0.3");
    a = node("a", "127.0.0.2", portA, List.of());
    b = node("b", "127.0.0.3", portB, List.of("127.0.0.2:" + portA));
    awaitReachable();
  }

  private static int freePort(String address) throws IOException {
    try (var socket = new ServerSocket(0, 1, InetAddress.getByName(address))) {
      return socket.getLocalPort();
    }
  }

  private GantryNodeSystem node(String name, String address, int port, List<String> join) throws IOException {
    var state = Files.createDirectories(directory.resolve(name));
    var transport = PageTransport.open(TransportOptions.on(InetAddress.getByName(address))
        .withDirectory(Files.createDirectories(directory.resolve("shm"))));
    var settings = NodeSettings.of(name, address, state).withPort(port).withJoin(join);
    var links = new AeronPageLinks(transport, true);
    var node = GantryNodeSystem.start(settings, engine(name), links);
    open.add(links);
    open.add(node);
    return node;
  }

  private StandInEngine engine(String host) {
    return new StandInEngine(truth, new Life(host, Life.Watcher.NOBODY), HostModel.USUAL, _ -> true);
  }

  @AfterEach
  void stop() throws Exception {
    for (var closeable : open.reversed()) {
      closeable.close();
    }
  }

  private <T> T ask(GantryNodeSystem node, akka.japi.function.Function<akka.actor.typed.ActorRef<T>,
      NodeCommand> command) throws Exception {
    CompletionStage<T> answer = AskPattern.ask(node.commands(), command, LONG, node.system().scheduler());
    return answer.toCompletableFuture().get(LONG.toSeconds(), TimeUnit.SECONDS);
  }

  private void awaitReachable() {
    Awaitility.await()
        .atMost(LONG)
        .pollInterval(Duration.ofMillis(50))
        .untilAsserted(
            () -> {
              for (var node : List.of(a, b)) {
                NodeCommand.NodeList list = ask(node, NodeCommand.ListNodes::new);
                assertThat(list.nodes()).extracting(NodeInfo::name).containsExactlyInAnyOrder("a", "b");
                assertThat(list.nodes()).allMatch(NodeInfo::reachable).allMatch(info -> info.kernel().equals("6.18.0"));
              }
            });
  }

  private MigrationOutcome move(GantryNodeSystem asked, String to) throws Exception {
    NodeCommand.MigrateReply reply =
        ask(asked, replyTo -> new NodeCommand.MigrateContainer("web", to, MigrateOptions.defaults(), Optional.empty(), replyTo));
    assertThat(reply).isInstanceOf(NodeCommand.MigrationEnded.class);
    return ((NodeCommand.MigrationEnded) reply).outcome();
  }

  private void run() throws Exception {
    NodeCommand.RunReply started =
        ask(a, replyTo -> new NodeCommand.RunContainer("web", Optional.of("a"), List.of("/bin/true"), Map.of(), "/", replyTo));
    assertThat(started).isInstanceOf(NodeCommand.Started.class);
    awaitKnownTo(b);
  }

  private void awaitKnownTo(GantryNodeSystem node) {
    Awaitility.await()
        .atMost(LONG)
        .pollInterval(Duration.ofMillis(20))
        .until(() -> !this.<NodeCommand.ContainerList>ask(node, NodeCommand.ListContainers::new).containers().isEmpty());
  }

  @Test
  void aContainerMovesToAndFroAndTheCommitIsQuick() throws Exception {
    run();
    var commits = new ArrayList<Double>();
    var pauses = new ArrayList<Double>();
    for (var i = 0; i < 20; i++) {
      var outcome = move(b, i % 2 == 0 ? "b" : "a");
      assertThat(outcome.outcome()).as(outcome.reason()).isEqualTo(MigrationOutcome.Result.COMPLETED);
      commits.add(outcome.phasesMs().commit());
      pauses.add(outcome.pauseMs());
      assertThat(truth.violations()).isEmpty();
    }
    commits.sort(null);
    pauses.sort(null);
    LoggerFactory.getLogger(ClusterOfTwoTest.class).info("commit ms {} pause ms {}", commits, pauses);
    // Three synced records and two messages; the quickest one tells what they cost when nobody else wants the processors.
    assertThat(commits.getFirst()).isLessThan(15);
    assertThat(pauses.getFirst()).isLessThan(30);
  }

  @Test
  void aRestartedNodeFindsItsContainersAndItsWayBack() throws Exception {
    run();
    a.close();
    assertThat(truth.runningOn("web")).containsExactly("a");
    a = node("a", "127.0.0.2", portA, List.of());
    awaitReachable();
    awaitKnownTo(a);
    assertThat(move(a, "b").outcome()).isEqualTo(MigrationOutcome.Result.COMPLETED);
    assertThat(truth.copies("web")).containsExactly("b: RUNNING");
  }

  @Test
  void anAddressInUseAndAStateDirectoryInUseAreSentences() throws IOException {
    var state = Files.createDirectories(directory.resolve("c"));
    var engine = engine("c");
    var time = new VirtualTime();
    var life = new Life("c", Life.Watcher.NOBODY);
    var network =
        new StandInNetwork(time, NetworkModel.RACK, new SplittableRandom(1), StandInNetwork.Listener.NOBODY, message -> message);
    var links = new StandInPageLinks(network).of(life, new VirtualCalls(time, life, 0));
    assertThatThrownBy(() -> GantryNodeSystem.start(NodeSettings.of("c", "127.0.0.2", state).withPort(portA), engine, links))
        .isInstanceOf(NodeStartException.class)
        .hasMessageContaining("could not be started on 127.0.0.2:" + portA);
    assertThatThrownBy(() ->
        GantryNodeSystem.start(NodeSettings.of("a", "127.0.0.2", directory.resolve("a")).withPort(0), engine, links))
        .hasMessageContaining("in use by another node");
  }
}
