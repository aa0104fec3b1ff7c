package io.gantry.simulation;

import static org.assertj.core.api.Assertions.assertThat;

import akka.actor.typed.ActorRef;
import akka.serialization.SerializationExtension;
import akka.serialization.Serializers;
import io.gantry.actors.ContainerInfo;
import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationOutcome;
import io.gantry.actors.MigrationProgress;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.NodeSettings;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.simulation.fault.Points;
import io.gantry.simulation.host.Life;
import io.gantry.simulation.run.VirtualCluster;
import io.gantry.simulation.time.VirtualActorSystem;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;

/**
 * Two nodes, {@code a} and {@code b}, and container {@code web} on {@code a}, on virtual time. Every message between them is
 * serialized
 * and read again on its way.
 */
final class TwoNodes implements AutoCloseable {
  static final String WEB = "web";
  static final Duration LONG = Duration.ofSeconds(60);

  final Points points = new Points();
  final VirtualCluster cluster;
  private final VirtualActorSystem actors;

  /** What was answered, in order. */
  final class Answer<T> {
    private final ArrayDeque<T> answers = new ArrayDeque<>();

    /** The next answer. */
    T get() {
      await(LONG, () -> !answers.isEmpty());
      return answers.remove();
    }
  }

  TwoNodes(VirtualActorSystem actors) {
    this(actors, UnaryOperator.identity());
  }

  /** @param settings of both nodes */
  TwoNodes(VirtualActorSystem actors, UnaryOperator<NodeSettings> settings) {
    this.actors = actors;
    var watcher =
        new Life.Watcher() {
          @Override
          public void before(Life life, String operation) {
            points.reach(life.host(), operation);
          }

          @Override
          public void after(Life life, String operation) {
            if (operation.endsWith(".written")) {
              points.reach(life.host(), operation);
            }
          }
        };
    cluster = new VirtualCluster(actors, VirtualCluster.Setup.plain(1).withWatcher(watcher).withWire(this::overTheWire)
        .withSettings(settings));
    cluster.start("a");
    cluster.start("b");
    await(LONG, () -> cluster.isUp("a") && cluster.isUp("b"));
    cluster.network().tellPeers();
    run(WEB, "a");
    awaitKnown("b", WEB, "a");
  }

  private PeerMessage overTheWire(PeerMessage message) {
    var serialization = SerializationExtension.get(actors.system());
    var bytes = serialization.serialize(message).get();
    var serializer = serialization.findSerializerFor(message);
    var read = (PeerMessage) serialization.deserialize(bytes, serializer.identifier(),
        Serializers.manifestFor(serializer, message)).get();
    assertThat(read.getClass()).isEqualTo(message.getClass());
    return read;
  }

  /** Lets virtual time go on until something is so, for at most so long. */
  void await(Duration atMost, BooleanSupplier condition) {
    var time = cluster.time();
    var limitNs = time.nowNs() + atMost.toNanos();
    while (!condition.getAsBoolean()) {
      assertThat(time.nextNs()).as("it comes about within %s of virtual time", atMost).isLessThanOrEqualTo(limitNs);
      time.step();
    }
  }

  void await(BooleanSupplier condition) {
    await(LONG, condition);
  }

  /** Lets so much virtual time pass. */
  void pass(Duration duration) {
    var untilNs = cluster.time().nowNs() + duration.toNanos();
    await(LONG, () -> cluster.time().nextNs() > untilNs);
  }

  <T> Answer<T> ask(String node, Function<ActorRef<T>, NodeCommand> command) {
    var answer = new Answer<T>();
    cluster.<T>ask(node, command, answer.answers::add);
    return answer;
  }

  void run(String container, String node) {
    Answer<NodeCommand.RunReply> reply =
        ask(node, replyTo ->
            new NodeCommand.RunContainer(container, Optional.empty(), List.of("/bin/true"), Map.of("A", "b"), "/", replyTo));
    assertThat(reply.get()).isInstanceOf(NodeCommand.Started.class);
  }

  Answer<NodeCommand.MigrateReply> beginMove(String from, String to, MigrateOptions options) {
    return ask(from, replyTo -> new NodeCommand.MigrateContainer(WEB, to, options, Optional.empty(), replyTo));
  }

  /** What a node tells of the moves of a container from now on. */
  Answer<MigrationProgress> listen(String node, String container) {
    return ask(node, subscriber -> new NodeCommand.SubscribeProgress(Optional.of(container), subscriber));
  }

  MigrationOutcome move() {
    return ended(beginMove("a", "b", MigrateOptions.defaults()).get());
  }

  static MigrationOutcome ended(NodeCommand.MigrateReply reply) {
    assertThat(reply).isInstanceOf(NodeCommand.MigrationEnded.class);
    return ((NodeCommand.MigrationEnded) reply).outcome();
  }

  List<ContainerInfo> list(String node) {
    Answer<NodeCommand.ContainerList> list = ask(node, NodeCommand.ListContainers::new);
    return list.get().containers();
  }

  /** Nothing comes through between the two any more. @param noticed whether they are told at once */
  void cut(boolean noticed) {
    cluster.network().cut("a", "b");
    cluster.network().cut("b", "a");
    if (noticed) {
      cluster.network().tellPeers();
    }
  }

  /** Asks again and again. */
  void awaitList(String node, Predicate<List<ContainerInfo>> condition) {
    var limitNs = cluster.time().nowNs() + LONG.toNanos();
    while (!condition.test(list(node))) {
      assertThat(cluster.time().nowNs()).isLessThan(limitNs);
      var nowNs = cluster.time().nowNs();
      await(() -> cluster.time().nowNs() > nowNs); // or nothing would have changed when it is asked again
    }
  }

  void awaitKnown(String asked, String container, String node) {
    awaitList(
        asked,
        all ->
            all.stream()
                .anyMatch(
                    info -> info.name().equals(container) && info.node().equals(node)
                        && info.status() == ContainerInfo.Status.RUNNING));
  }

  /** The container runs there, is the only copy, and nothing is left on the other host. */
  void awaitOnly(String host) {
    var other = host.equals("a") ? "b" : "a";
    var truth = cluster.truth();
    await(
        () -> truth.copies(WEB).equals(List.of(host + ": RUNNING")) && truth.directories(host).equals(List.of(WEB))
            && truth.directories(other).isEmpty());
    assertThat(truth.violations()).isEmpty();
    assertThat(points.pending()).isEmpty();
  }

  @Override
  public void close() {
    cluster.close();
  }
}
