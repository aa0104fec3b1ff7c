package io.gantry.simulation;

import static org.assertj.core.api.Assertions.assertThat;

import akka.actor.testkit.typed.javadsl.ActorTestKit;
import akka.actor.testkit.typed.javadsl.TestProbe;
import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.serialization.SerializationExtension;
import akka.serialization.Serializers;
import com.typesafe.config.ConfigFactory;
import io.gantry.actors.ContainerInfo;
import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationOutcome;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.protocol.PeerMessage;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.awaitility.Awaitility;

/**
 * Two nodes, {@code a} and {@code b}, and container {@code web} on {@code a}. Every message between them is serialized and
 * read again on its way.
 */
final class TwoNodes implements AutoCloseable {
  static final String WEB = "web";
  static final Duration LONG = Duration.ofSeconds(15);

  final ActorTestKit kit = ActorTestKit.create("simulation", ConfigFactory.parseString("akka.log-dead-letters = off")
      .withFallback(ConfigFactory.load()));
  final StandInCluster cluster;

  TwoNodes() {
    cluster =
        new StandInCluster(
            kit.system(),
            new StandInCluster.Spawner() {
              @Override
              public <T> ActorRef<T> spawn(Behavior<T> behavior, String name) {
                return kit.spawn(behavior, name);
              }

              @Override
              public void stop(ActorRef<?> actor) {
                stopNow(actor);
              }
            },
            this::overTheWire);
    cluster.start("a");
    cluster.start("b");
    run(WEB, "a");
    awaitKnown("b", WEB, "a");
  }

  private <T> void stopNow(ActorRef<T> actor) {
    // A fault may strike on an actor's own thread, which must not wait for itself.
    Thread.ofPlatform().daemon().start(() -> kit.stop(actor));
  }

  private PeerMessage overTheWire(PeerMessage message) {
    var serialization = SerializationExtension.get(kit.system());
    var bytes = serialization.serialize(message).get();
    var serializer = serialization.findSerializerFor(message);
    var read = (PeerMessage) serialization.deserialize(bytes, serializer.identifier(),
        Serializers.manifestFor(serializer, message)).get();
    assertThat(read.getClass()).isEqualTo(message.getClass());
    return read;
  }

  void run(String container, String node) {
    TestProbe<NodeCommand.RunReply> probe = kit.createTestProbe();
    cluster
        .commands(node)
        .tell(new NodeCommand.RunContainer(container, Optional.empty(), List.of("/bin/true"), Map.of("A", "b"), "/",
            probe.getRef()));
    assertThat(probe.receiveMessage(LONG)).isInstanceOf(NodeCommand.Started.class);
  }

  TestProbe<NodeCommand.MigrateReply> beginMove(String from, String to, MigrateOptions options) {
    TestProbe<NodeCommand.MigrateReply> probe = kit.createTestProbe();
    cluster.commands(from).tell(new NodeCommand.MigrateContainer(WEB, to, options, Optional.empty(), probe.getRef()));
    return probe;
  }

  MigrationOutcome move() {
    return ended(beginMove("a", "b", MigrateOptions.defaults()).receiveMessage(LONG));
  }

  static MigrationOutcome ended(NodeCommand.MigrateReply reply) {
    assertThat(reply).isInstanceOf(NodeCommand.MigrationEnded.class);
    return ((NodeCommand.MigrationEnded) reply).outcome();
  }

  List<ContainerInfo> list(String node) {
    TestProbe<NodeCommand.ContainerList> probe = kit.createTestProbe();
    cluster.commands(node).tell(new NodeCommand.ListContainers(probe.getRef()));
    return probe.receiveMessage(LONG).containers();
  }

  void awaitKnown(String asked, String container, String node) {
    Awaitility.await()
        .atMost(LONG)
        .pollInterval(Duration.ofMillis(20))
        .untilAsserted(
            () ->
                assertThat(list(asked))
                    .anySatisfy(
                        info -> {
                          assertThat(info.name()).isEqualTo(container);
                          assertThat(info.node()).isEqualTo(node);
                          assertThat(info.status()).isEqualTo(ContainerInfo.Status.RUNNING);
                        }));
  }

  /** The container runs there, is the only copy, has its memory, and nothing is left on the other host. */
  void awaitOnly(String host) {
    var other = host.equals("a") ? "b" : "a";
    Awaitility.await()
        .atMost(LONG)
        .pollInterval(Duration.ofMillis(20))
        .untilAsserted(
            () -> {
              assertThat(cluster.truth().copies(WEB)).containsExactly(host + ": RUNNING");
              assertThat(cluster.truth().directories(host)).containsExactly(WEB);
              assertThat(cluster.truth().directories(other)).isEmpty();
            });
    assertThat(cluster.truth().content(WEB)).isEqualTo("memory of web");
    assertThat(cluster.truth().violations()).isEmpty();
    assertThat(cluster.faults().pending()).isEmpty();
  }

  @Override
  public void close() {
    kit.shutdownTestKit();
  }
}
