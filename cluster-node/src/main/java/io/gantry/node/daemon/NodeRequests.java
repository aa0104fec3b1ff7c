package io.gantry.node.daemon;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.Props;
import akka.actor.typed.javadsl.AskPattern;
import akka.actor.typed.javadsl.Behaviors;
import akka.japi.function.Function;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.actors.GantryNodeSystem;
import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationProgress;
import io.gantry.actors.NodeCommand;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.Holdings;
import io.gantry.checkpoint.OciSpec;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import io.gantry.node.control.RequestHandler;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BiFunction;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Turns requests over the control socket into commands for the actors, and their answers into JSON. Thread-safe. */
final class NodeRequests implements RequestHandler {
  private static final Logger LOG = LoggerFactory.getLogger(NodeRequests.class);
  private static final Duration ANSWER_MAX = Duration.ofSeconds(30);

  /** A move may take this much longer than its deadline, which only bounds the way to the commit. */
  private static final Duration BEYOND_DEADLINE = Duration.ofSeconds(30);

  private static final int CONSOLE_PIECE_BYTES = 64 * 1024;
  private static final Duration CONSOLE_LOOK = Duration.ofMillis(200);

  /** Tells a listener to stop; never sent by a migration. */
  private static final MigrationProgress END = new MigrationProgress("", "", "", "", "", 0, 0, 0, 0, 0, 0, 0, "");

  private final GantryNodeSystem node;
  private final ObjectNode facts;
  private final String here;
  private final BiFunction<String, Integer, Holdings> survey;

  /**
   * @param facts what {@code check} answers
   * @param here this node's name
   * @param survey looks at a container of this host, by its name and first process
   */
  NodeRequests(GantryNodeSystem node, ObjectNode facts, String here, BiFunction<String, Integer, Holdings> survey) {
    this.node = node;
    this.here = here;
    this.survey = survey;
    this.facts = facts;
  }

  @Override
  public ObjectNode handle(String command, ObjectNode arguments, Progress progress) throws Exception {
    return switch (command) {
      case "run" -> run(arguments);
      case "run-bundle" -> runBundle(arguments);
      case "ps" -> ps();
      case "nodes" -> nodes();
      case "migrate" -> migrate(arguments, progress);
      case "cancel" -> cancel(arguments);
      case "resolve" -> resolve(arguments);
      case "stop" -> stop(arguments);
      case "logs" -> logs(arguments, progress);
      case "describe" -> describe(arguments);
      case "survey" -> survey(arguments);
      case "compare" -> compare(arguments);
      case "check" -> facts.deepCopy();
      default ->
          throw new CommandException(
              ExitCode.USAGE, "The node does not know the command '" + command + "'; command line and node may be of different versions.");
    };
  }

  private ObjectNode run(ObjectNode arguments) throws InterruptedException {
    var words = new ArrayList<String>();
    arguments.path("argv").forEach(word -> words.add(word.asText()));
    if (words.isEmpty()) {
      throw new CommandException(ExitCode.USAGE, "There is no program to run.");
    }
    var environment = new HashMap<String, String>();
    arguments.path("env").properties().forEach(entry -> environment.put(entry.getKey(), entry.getValue().asText()));
    Optional<String> where = arguments.hasNonNull("node") ? Optional.of(text(arguments, "node")) : Optional.empty();
    String name = text(arguments, "container");
    String directory = arguments.path("cwd").asText("/");
    Optional<String> network = arguments.hasNonNull("network") ? Optional.of(text(arguments, "network")) : Optional.empty();
    if (where.isEmpty()) {
      requireProgram(words.getFirst(), environment.getOrDefault("PATH", ""), Path.of(directory));
    }
    var volumes = volumes(arguments);
    NodeCommand.RunReply reply =
        ask(
            replyTo ->
                new NodeCommand.RunContainer(name, where, words, environment, directory, Optional.empty(), network, volumes, replyTo),
            ANSWER_MAX);
    return switch (reply) {
      case NodeCommand.Started started -> Json.object(started.container());
      case NodeCommand.Rejected rejected -> throw rejected(rejected);
    };
  }

  private static List<String> volumes(ObjectNode arguments) {
    var volumes = new ArrayList<String>();
    arguments.path("volumes").forEach(volume -> volumes.add(volume.asText()));
    return volumes;
  }

  /** A container that a runtime makes from a bundle, or has made. */
  private ObjectNode runBundle(ObjectNode arguments) throws InterruptedException {
    var oci = new OciSpec(text(arguments, "runtime"), text(arguments, "id"), arguments.path("bundle").asText(""), arguments.path("adopt").asBoolean());
    Optional<String> where = arguments.hasNonNull("node") ? Optional.of(text(arguments, "node")) : Optional.empty();
    var shown = oci.adopt() ? List.of(oci.runtime(), oci.id()) : List.of(oci.runtime(), oci.id(), oci.bundle());
    String name = text(arguments, "container");
    Optional<String> network = arguments.hasNonNull("network") ? Optional.of(text(arguments, "network")) : Optional.empty();
    if (oci.adopt() && network.isPresent()) {
      throw new CommandException(ExitCode.USAGE, "A container that is adopted has its network already.");
    }
    NodeCommand.RunReply reply =
        ask(
            replyTo ->
                new NodeCommand.RunContainer(
                    name, where, shown, Map.of(), "/", Optional.of(oci), network, volumes(arguments), replyTo),
            ANSWER_MAX);
    return switch (reply) {
      case NodeCommand.Started started -> Json.object(started.container());
      case NodeCommand.Rejected rejected -> throw rejected(rejected);
    };
  }

  /** Says so before anything is made. Another node looks on its own host, when it starts the container. */
  private static void requireProgram(String program, String path, Path directory) {
    if (!Files.isDirectory(directory)) {
      throw new CommandException(ExitCode.NOT_FOUND, "There is no directory " + directory + " on this host; choose another with --cwd.");
    }
    if (program.contains("/")) {
      Path file = directory.resolve(program);
      if (!Files.isRegularFile(file) || !Files.isExecutable(file)) {
        throw new CommandException(
            ExitCode.NOT_FOUND,
            "The program " + file + (Files.exists(file) ? " cannot be executed; chmod +x may help." : " does not exist on this host."));
      }
      return;
    }
    for (String place : path.split(":")) {
      Path file = directory.resolve(place).resolve(program);
      if (Files.isRegularFile(file) && Files.isExecutable(file)) {
        return;
      }
    }
    throw new CommandException(
        ExitCode.NOT_FOUND, "There is no program '" + program + "' in the PATH " + path + " of this host; install it or give its whole path.");
  }

  private ObjectNode ps() throws InterruptedException {
    NodeCommand.ContainerList list = ask(NodeCommand.ListContainers::new, ANSWER_MAX);
    ObjectNode result = Json.object();
    var containers = result.putArray("containers");
    list.containers().forEach(container -> containers.add(Json.object(container)));
    return result;
  }

  private ObjectNode nodes() throws InterruptedException {
    NodeCommand.NodeList list = ask(NodeCommand.ListNodes::new, ANSWER_MAX);
    ObjectNode result = Json.object();
    var nodes = result.putArray("nodes");
    list.nodes().forEach(entry -> nodes.add(Json.object(entry)));
    return result;
  }

  private ObjectNode migrate(ObjectNode arguments, Progress progress) throws InterruptedException {
    String name = text(arguments, "container");
    String to = text(arguments, "to");
    Duration deadline = Duration.ofMillis(arguments.path("deadline_ms").asLong(60_000));
    MigrateOptions options;
    try {
      options =
          new MigrateOptions(
              Duration.ofNanos((long) (arguments.path("pause_budget_ms").asDouble(20) * 1e6)),
              deadline,
              "abort".equals(arguments.path("when_stalled").asText()) ? MigrateOptions.OnStall.ABORT : MigrateOptions.OnStall.FREEZE,
              arguments.path("verify").asBoolean());
    } catch (IllegalArgumentException mistake) {
      throw new CommandException(ExitCode.USAGE, mistake.getMessage());
    }
    ActorRef<MigrationProgress> listener = node.system().systemActorOf(listener(progress), "progress-" + UUID.randomUUID(), Props.empty());
    try {
      NodeCommand.MigrateReply reply =
          ask(
              replyTo -> new NodeCommand.MigrateContainer(name, to, options, Optional.of(listener), replyTo),
              deadline.plus(BEYOND_DEADLINE));
      return switch (reply) {
        case NodeCommand.MigrationEnded ended -> Json.object(ended.outcome());
        case NodeCommand.Rejected rejected -> throw rejected(rejected);
      };
    } finally {
      listener.tell(END);
    }
  }

  private static Behavior<MigrationProgress> listener(Progress progress) {
    return Behaviors.receiveMessage(
        step -> {
          if (step == END) {
            return Behaviors.stopped();
          }
          progress.report(Json.object(step));
          return Behaviors.same();
        });
  }

  private ObjectNode cancel(ObjectNode arguments) throws InterruptedException {
    String name = text(arguments, "container");
    NodeCommand.CancelReply reply = ask(replyTo -> new NodeCommand.CancelMigration(name, replyTo), ANSWER_MAX);
    return switch (reply) {
      case NodeCommand.CancelAccepted accepted -> Json.object().put("container", accepted.name()).put("cancelled", true);
      case NodeCommand.Rejected rejected -> throw rejected(rejected);
    };
  }

  private ObjectNode resolve(ObjectNode arguments) throws InterruptedException {
    String name = text(arguments, "container");
    String hostOff = text(arguments, "host_is_off");
    NodeCommand.ResolveReply reply = ask(replyTo -> new NodeCommand.ResolveContainer(name, hostOff, replyTo), ANSWER_MAX);
    return switch (reply) {
      case NodeCommand.Resolved resolved ->
          Json.object().put("container", resolved.name()).put("node", resolved.node()).put("epoch", resolved.epoch())
              .put("resolved", true);
      case NodeCommand.Rejected rejected -> throw rejected(rejected);
    };
  }

  private ObjectNode stop(ObjectNode arguments) throws InterruptedException {
    String name = text(arguments, "container");
    NodeCommand.StopReply reply = ask(replyTo -> new NodeCommand.StopContainer(name, replyTo), ANSWER_MAX);
    return switch (reply) {
      case NodeCommand.Stopped stopped -> Json.object().put("container", stopped.name()).put("stopped", true);
      case NodeCommand.Rejected rejected -> throw rejected(rejected);
    };
  }

  /** Ends every container that lives on the named node, which is this one; what cannot be ended is logged. */
  void stopAll(String here) {
    try {
      NodeCommand.ContainerList list = ask(NodeCommand.ListContainers::new, ANSWER_MAX);
      for (var container : list.containers()) {
        if (!container.node().equals(here)) {
          continue;
        }
        try {
          stop(Json.object().put("container", container.name()));
        } catch (CommandException refused) {
          LOG.warn("Container {} could not be ended: {}", container.name(), refused.getMessage());
        }
      }
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    } catch (CommandException silent) {
      LOG.warn("The containers could not be listed: {}", silent.getMessage());
    }
  }

  private ObjectNode describe(ObjectNode arguments) throws InterruptedException {
    String name = text(arguments, "container");
    NodeCommand.DescribeReply reply = ask(replyTo -> new NodeCommand.DescribeContainer(name, replyTo), ANSWER_MAX);
    return switch (reply) {
      case NodeCommand.Description description -> {
        ObjectNode result = Json.object(description.container());
        var processes = result.putArray("processes");
        description.processes().forEach(process -> processes.add(Json.object(process)));
        yield result;
      }
      case NodeCommand.Rejected rejected -> throw rejected(rejected);
    };
  }

  private ObjectNode compare(ObjectNode arguments) throws InterruptedException {
    String with = text(arguments, "node");
    NodeCommand.CompareReply reply = ask(replyTo -> new NodeCommand.CompareHosts(with, Optional.empty(), replyTo), ANSWER_MAX);
    return switch (reply) {
      case NodeCommand.Compared compared -> HostReport.comparison(here, with, compared.rows());
      case NodeCommand.Rejected rejected -> throw rejected(rejected);
    };
  }

  private ObjectNode survey(ObjectNode arguments) throws InterruptedException {
    ObjectNode container = describe(arguments);
    String name = container.path("name").asText();
    String node = container.path("node").asText();
    if (!node.equals(here)) {
      throw new CommandException(
          ExitCode.CONFLICT, "Container '" + name + "' is on node " + node + "; run gantry check --container " + name + " on that node's host.");
    }
    int pid = container.path("init_pid").asInt();
    try {
      return TreeReport.json(pid, survey.apply(name, pid)).put("container", name);
    } catch (CheckpointException failure) {
      throw new CommandException(ExitCode.FAILED, "Looking at container '" + name + "' failed: " + failure.getMessage(), failure);
    }
  }

  private ObjectNode logs(ObjectNode arguments, Progress progress) throws InterruptedException {
    String name = text(arguments, "container");
    boolean follow = arguments.path("follow").asBoolean();
    long last = arguments.path("bytes").asLong(1 << 20);
    // A piece may end in the middle of a character: what is left of it waits for the next piece.
    CharsetDecoder decoder =
        StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPLACE).onUnmappableCharacter(CodingErrorAction.REPLACE);
    ByteBuffer bytes = ByteBuffer.allocate(CONSOLE_PIECE_BYTES + 8);
    long offset = Math.max(0, console(name, 0, 1).sizeBytes() - last);
    while (true) {
      NodeCommand.ConsoleChunk piece = console(name, offset, CONSOLE_PIECE_BYTES);
      bytes.put(piece.bytes());
      offset += piece.bytes().length;
      boolean complete = offset >= piece.sizeBytes();
      var text = CharBuffer.allocate(bytes.position() + 1);
      decoder.decode(bytes.flip(), text, false);
      bytes.compact();
      if (text.position() > 0) {
        progress.report(Json.object().put("text", text.flip().toString()));
      }
      if (complete && (!follow || piece.ended() || !progress.isWanted())) {
        return Json.object().put("container", name).put("bytes", offset).put("ended", piece.ended());
      }
      if (complete) {
        Thread.sleep(CONSOLE_LOOK);
      }
    }
  }

  private NodeCommand.ConsoleChunk console(String name, long offset, int bytesMax) throws InterruptedException {
    NodeCommand.ConsoleReply reply = ask(replyTo -> new NodeCommand.ReadConsole(name, offset, bytesMax, replyTo), ANSWER_MAX);
    return switch (reply) {
      case NodeCommand.ConsoleChunk chunk -> chunk;
      case NodeCommand.Rejected rejected -> throw rejected(rejected);
    };
  }

  private <R> R ask(Function<ActorRef<R>, NodeCommand> command, Duration longest) throws InterruptedException {
    CompletionStage<R> answer = AskPattern.ask(node.commands(), command, longest, node.system().scheduler());
    try {
      return answer.toCompletableFuture().get(longest.toMillis() + 1000, TimeUnit.MILLISECONDS);
    } catch (ExecutionException | TimeoutException late) {
      throw new CommandException(
          ExitCode.UNREACHABLE,
          "The node's actors did not answer within " + longest.toSeconds() + " s; what was asked may still be going on (gantry ps tells). The"
              + " node's log may say why.",
          late);
    }
  }

  private static String text(ObjectNode arguments, String field) {
    if (!arguments.path(field).isTextual()) {
      throw new CommandException(ExitCode.USAGE, "The request lacks '" + field + "'.");
    }
    return arguments.path(field).asText();
  }

  private static CommandException rejected(NodeCommand.Rejected rejected) {
    ExitCode code =
        switch (rejected.problem()) {
          case UNKNOWN_CONTAINER, UNKNOWN_NODE, EXITED -> ExitCode.NOT_FOUND;
          case NODE_UNREACHABLE -> ExitCode.UNREACHABLE;
          case NAME_TAKEN, BUSY, NOTHING_TO_CANCEL, NOT_IN_DOUBT -> ExitCode.CONFLICT;
          case INVALID_ARGUMENT -> ExitCode.USAGE;
          case FAILED -> ExitCode.FAILED;
        };
    return new CommandException(code, rejected.sentence());
  }
}
