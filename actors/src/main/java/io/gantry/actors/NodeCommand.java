package io.gantry.actors;

import akka.actor.typed.ActorRef;
import akka.actor.typed.receptionist.ServiceKey;
import io.gantry.actors.protocol.WireMessage;
import io.gantry.checkpoint.HostDifference;
import io.gantry.checkpoint.HostFacts;
import io.gantry.checkpoint.OciSpec;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What other services, and the command line, may ask of a node. Any node may be asked: it passes on what another one has to do.
 * Every command is answered exactly once, unless the node that works on it dies; ask with a time-out.
 *
 * <p>{@code gantry migrate} asks {@link MigrateContainer} with a time-out of the deadline plus a few seconds, since the
 * deadline bounds only the way to
 * the commit.
 */
public sealed interface NodeCommand extends WireMessage {
  /** Every node registers its {@code ActorRef<NodeCommand>} under this key. */
  ServiceKey<NodeCommand> SERVICE_KEY = ServiceKey.create(NodeCommand.class, "gantry-node");

  /**
   * Starts a container.
   *
   * @param name letters, digits, dot, dash, underscore; at most 63 characters; unique in the cluster
   * @param node where; the asked node when empty
   * @param command program and arguments; at least the program
   * @param environment the whole environment
   * @param workingDirectory absolute
   * @param oci which one a runtime is to make or has made; {@code command} is then what people are shown
   * @param network as {@code NetworkSpec.parse} reads it; empty for the node's own
   * @param volumes absolute paths of directories whose files belong to it
   */
  record RunContainer(
      String name,
      Optional<String> node,
      List<String> command,
      Map<String, String> environment,
      String workingDirectory,
      Optional<OciSpec> oci,
      Optional<String> network,
      List<String> volumes,
      ActorRef<RunReply> replyTo)
      implements NodeCommand {
    public RunContainer {
      // Nodes of older versions do not send any.
      volumes = volumes == null ? List.of() : List.copyOf(volumes);
    }

    /** One that Gantry itself makes, in the node's own network. */
    public RunContainer(
        String name,
        Optional<String> node,
        List<String> command,
        Map<String, String> environment,
        String workingDirectory,
        ActorRef<RunReply> replyTo) {
      this(name, node, command, environment, workingDirectory, Optional.empty(), Optional.empty(), List.of(), replyTo);
    }
  }

  /** Kills every process of a container and removes what is left of it, console included. */
  record StopContainer(String name, ActorRef<StopReply> replyTo) implements NodeCommand {}

  /**
   * Moves a container.
   *
   * @param progress is told how far it is, when present
   */
  record MigrateContainer(
      String name, String to, MigrateOptions options, Optional<ActorRef<MigrationProgress>> progress,
          ActorRef<MigrateReply> replyTo)
      implements NodeCommand {}

  /** Calls off the running move of a container; possible until the commit. The one who asked for the move gets its outcome. */
  record CancelMigration(String name, ActorRef<CancelReply> replyTo) implements NodeCommand {}

  /**
   * A person vouches for it that a host is off, and whatever it had of the container with it. The node that waits for that host
   * then decides as if the host had said so: a source in doubt takes the container back, a destination that holds a copy lets
   * it run. If the host is not off, two copies may run until the two meet again.
   *
   * @param hostOff name of the node whose host is off
   */
  record ResolveContainer(String name, String hostOff, ActorRef<ResolveReply> replyTo) implements NodeCommand {}

  /** All containers of the cluster as this node knows them. */
  record ListContainers(ActorRef<ContainerList> replyTo) implements NodeCommand {}

  /** All nodes of the cluster as this node sees them. */
  record ListNodes(ActorRef<NodeList> replyTo) implements NodeCommand {}

  /**
   * Compares a host that containers would leave with one that they would go to, as the latter's node does before each move.
   *
   * @param with name of the node that they would go to
   * @param source what the host they would leave is; the asked node's own when empty
   */
  record CompareHosts(String with, Optional<HostFacts> source, ActorRef<CompareReply> replyTo) implements NodeCommand {}

  /** One container with its processes. */
  record DescribeContainer(String name, ActorRef<DescribeReply> replyTo) implements NodeCommand {}

  /**
   * A piece of a container's console, from wherever it lives.
   *
   * @param offset first byte
   * @param bytesMax most bytes to answer with; 1 to 65536
   */
  record ReadConsole(String name, long offset, int bytesMax, ActorRef<ConsoleReply> replyTo) implements NodeCommand {}

  /**
   * From now on tells {@code subscriber} about every move whose source is the asked node, until that actor stops.
   *
   * @param container only this one, when present
   */
  record SubscribeProgress(Optional<String> container, ActorRef<MigrationProgress> subscriber) implements NodeCommand {}

  /** Answer to {@link RunContainer}. */
  sealed interface RunReply extends WireMessage permits Started, Rejected {}

  /** Answer to {@link StopContainer}. */
  sealed interface StopReply extends WireMessage permits Stopped, Rejected {}

  /** Answer to {@link MigrateContainer}. */
  sealed interface MigrateReply extends WireMessage permits MigrationEnded, Rejected {}

  /** Answer to {@link CancelMigration}. */
  sealed interface CancelReply extends WireMessage permits CancelAccepted, Rejected {}

  /** Answer to {@link ResolveContainer}. */
  sealed interface ResolveReply extends WireMessage permits Resolved, Rejected {}

  /** Answer to {@link CompareHosts}. */
  sealed interface CompareReply extends WireMessage permits Compared, Rejected {}

  /** Answer to {@link DescribeContainer}. */
  sealed interface DescribeReply extends WireMessage permits Description, Rejected {}

  /** Answer to {@link ReadConsole}. */
  sealed interface ConsoleReply extends WireMessage permits ConsoleChunk, Rejected {}

  /** The container runs. */
  record Started(ContainerInfo container) implements RunReply {}

  /** The container is gone. */
  record Stopped(String name) implements StopReply {}

  /** The move has ended, or is in doubt and goes on by itself. */
  record MigrationEnded(MigrationOutcome outcome) implements MigrateReply {}

  /** The move has been undone; the container runs where it was. */
  record CancelAccepted(String name) implements CancelReply {}

  /**
   * The container runs.
   *
   * @param node where
   * @param epoch with which
   */
  record Resolved(String name, String node, long epoch) implements ResolveReply {}

  record ContainerList(List<ContainerInfo> containers) implements WireMessage {
    public ContainerList {
      containers = List.copyOf(containers);
    }
  }

  record NodeList(List<NodeInfo> nodes) implements WireMessage {
    public NodeList {
      nodes = List.copyOf(nodes);
    }
  }

  /** @param rows everything that was compared */
  record Compared(List<HostDifference> rows) implements CompareReply {
    public Compared {
      rows = List.copyOf(rows);
    }
  }

  record Description(ContainerInfo container, List<ProcessInfo> processes, List<String> volumes) implements DescribeReply {
    public Description {
      volumes = List.copyOf(volumes);
      processes = List.copyOf(processes);
    }
  }

  /**
   * @param offset of the first byte in {@code bytes}
   * @param sizeBytes how long the console is now
   * @param ended whether the container has ended, so that nothing will follow
   */
  record ConsoleChunk(long offset, byte[] bytes, long sizeBytes, boolean ended) implements ConsoleReply {}

  /** The command was not carried out, and nothing was left half-done. */
  record Rejected(Problem problem, String sentence)
      implements RunReply, StopReply, MigrateReply, CancelReply, ResolveReply, CompareReply, DescribeReply, ConsoleReply {}

  /** Why a command was not carried out; the command line turns these into exit codes. */
  enum Problem {
    UNKNOWN_CONTAINER,
    UNKNOWN_NODE,
    /** The node is known and cannot be reached now. */
    NODE_UNREACHABLE,
    NAME_TAKEN,
    INVALID_ARGUMENT,
    /** The container is in a move, or the node has as many moves as it may. */
    BUSY,
    /** The container has ended. */
    EXITED,
    /** There is no move to cancel, or it has been committed. */
    NOTHING_TO_CANCEL,
    /** The container does not wait for that host, or the host can be reached. */
    NOT_IN_DOUBT,
    /** The engine or the ledger failed; the sentence says how. */
    FAILED
  }
}
