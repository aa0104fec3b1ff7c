package io.gantry.node.daemon;

import ch.qos.logback.classic.LoggerContext;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import io.gantry.node.control.ControlServer;
import io.gantry.node.control.ControlSocket;
import io.gantry.node.demo.LeftOvers;
import io.gantry.node.demo.LocalCluster;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The life of a node, from taking its state directory to giving it back. */
public final class NodeDaemon {
  /** SIGTERM gives up after this; containers do not depend on it. */
  private static final long STOP_SECONDS_MAX = 20;

  private static final Logger LOG = LoggerFactory.getLogger(NodeDaemon.class);

  private NodeDaemon() {}

  /**
   * Runs until the process is told to end (SIGTERM, SIGINT), and leaves the containers running.
   *
   * @param report where to say that it is ready; with it the log goes to a file, without it to standard error
   * @param temporaryFor process without which this node has no purpose: when it has ended, however that was, the node ends with all its
   *     containers and removes the directory that its state directory is in
   * @throws CommandException when it cannot start; nothing is half-done then
   */
  public static void run(NodeConfig config, Optional<PrintStream> report, Optional<Long> temporaryFor) {
    var told = new CountDownLatch(1);
    var done = new CountDownLatch(1);
    try (StateDirectory state = StateDirectory.take(config.stateDirectory())) {
      Logging.configure(report.map(stream -> state.log()));
      Ports.requireFree(config);
      LOG.info("Node {} starts on {} with process {}.", config.name(), config.bind(), ProcessHandle.current().pid());
      try (NodeWiring wiring = NodeWiring.start(config, state);
          ControlServer control = openControl(state.path(), wiring)) {
        ObjectNode ready = ready(config, state, wiring).put("socket", control.path().toString());
        LOG.info("Ready: {}", ready);
        report.ifPresent(stream -> say(stream, ready));
        endWith(told, done);
        temporaryFor.ifPresent(pid -> endAfter(pid, wiring, config));
        awaitQuietly(told);
        LOG.info("Node {} ends; its containers run on.", config.name());
      }
    }
    ((LoggerContext) LoggerFactory.getILoggerFactory()).stop();
    done.countDown();
  }

  private static ControlServer openControl(Path directory, NodeWiring wiring) {
    Path socket = ControlSocket.in(directory);
    try {
      return ControlServer.start(socket, wiring.requests());
    } catch (IOException failure) {
      throw new CommandException(
          ExitCode.USAGE, "The control socket " + socket + " cannot be made (" + failure.getMessage() + "); choose another --state-dir.", failure);
    }
  }

  private static ObjectNode ready(NodeConfig config, StateDirectory state, NodeWiring wiring) {
    ObjectNode ready =
        Json.object()
            .put("name", config.name())
            .put("address", config.bind() + ":" + config.port())
            .put("pid", ProcessHandle.current().pid())
            .put("state_dir", state.path().toString())
            .put("log", state.log().toString())
            .put("start_ms", System.currentTimeMillis() - ManagementFactory.getRuntimeMXBean().getStartTime());
    wiring.rehearsal().ifPresent(result -> ready.set("rehearsal", result.json()));
    return ready;
  }

  private static void say(PrintStream stream, ObjectNode ready) {
    ObjectNode line = Json.object();
    line.set("ready", ready);
    stream.println(Json.line(line));
    stream.flush();
    // The parent has gone or will go; whatever is printed from now on must not meet a broken pipe. The JDK puts /dev/null there.
    stream.close();
  }

  private static void endAfter(long pid, NodeWiring wiring, NodeConfig config) {
    Runnable end =
        () -> {
          LOG.info("Process {} has ended, and this node was only started for it.", pid);
          wiring.stopContainers(config.name());
          Path all = config.stateDirectory().getParent();
          // One that was between two nodes belongs to neither list.
          LeftOvers.kill(LocalCluster.MARK, all.toString());
          try {
            LeftOvers.deleteTree(all);
          } catch (IOException failure) {
            LOG.warn("{} could not be removed: {}", config.stateDirectory().getParent(), failure.getMessage());
          }
          System.exit(0);
        };
    Thread.ofPlatform()
        .name("temporary")
        .daemon()
        .start(
            () -> {
              ProcessHandle.of(pid).ifPresent(process -> process.onExit().join());
              end.run();
            });
  }

  /** When the process is told to end, says so, and keeps the JVM until everything is done. */
  private static void endWith(CountDownLatch told, CountDownLatch done) {
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  told.countDown();
                  try {
                    done.await(STOP_SECONDS_MAX, TimeUnit.SECONDS);
                  } catch (InterruptedException hurried) {
                    Thread.currentThread().interrupt();
                  }
                },
                "node-stop"));
  }

  private static void awaitQuietly(CountDownLatch told) {
    try {
      told.await();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
