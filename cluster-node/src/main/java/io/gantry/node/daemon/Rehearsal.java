package io.gantry.node.daemon;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.actors.PageLinks;
import io.gantry.checkpoint.Arrival;
import io.gantry.checkpoint.Capture;
import io.gantry.checkpoint.CaptureOptions;
import io.gantry.checkpoint.ContainerHandle;
import io.gantry.checkpoint.ContainerSpec;
import io.gantry.checkpoint.Engine;
import io.gantry.checkpoint.Footprint;
import io.gantry.node.Json;
import io.gantry.node.demo.WorkloadStatus;
import io.gantry.node.workload.PageWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Moves a throwaway process from this node to this node, again and again, through the same engine and the same stream as every other
 * move: the code of the pause is compiled before the first real move needs it, and a host on which moving does not work is noticed at
 * once. Used once, by one thread.
 */
final class Rehearsal {
  private static final Logger LOG = LoggerFactory.getLogger(Rehearsal.class);

  /** What the throwaway program holds and writes: little, but with the threads of a JVM, so that every part of a pause has something to do. */
  private static final List<String> ARGUMENTS = List.of(Long.toString(16L << 20), "50", "10");

  /** It ends by itself, should this node be killed meanwhile. */
  private static final long LIFE_SECONDS = 40;

  private static final int MOVES_MAX = 40;
  private static final int ROUNDS = 2;
  private static final Duration STEP_MAX = Duration.ofSeconds(10);

  private final Engine engine;
  private final PageLinks links;
  private final Path directory;
  private final Duration longest;

  /**
   * @param directory for the throwaway containers' files; made and removed
   * @param longest after this time no further move begins
   */
  Rehearsal(Engine engine, PageLinks links, Path directory, Duration longest) {
    this.engine = engine;
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

  /** Does it. Nothing is left of it afterwards, also when it fails. */
  Result run() {
    long beganNs = System.nanoTime();
    int moves = 0;
    double first = 0;
    double last = 0;
    double fixed = 0;
    var shape = new Shape(0, 0, 0);
    String sentence = "";
    try {
      ContainerHandle container = engine.create(spec(0));
      try {
        awaitRunning();
        Footprint footprint = engine.inspect(container);
        shape = new Shape(footprint.processes(), footprint.threads(), footprint.descriptors());
        while (moves < MOVES_MAX && (moves == 0 || System.nanoTime() - beganNs < longest.toNanos())) {
          Moved moved = move(container, moves + 1);
          container = moved.container();
          last = moved.pauseMs();
          fixed = moved.fixedMs();
          first = moves == 0 ? last : first;
          moves++;
        }
      } finally {
        engine.destroy(container);
      }
    } catch (RuntimeException | IOException failure) {
      LOG.error("The rehearsal failed after {} moves", moves, failure);
      sentence = failure.getMessage() == null ? failure.toString() : failure.getMessage();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      sentence = "It was interrupted.";
    } finally {
      deleteDirectory();
    }
    return new Result(sentence.isEmpty(), moves, first, last, fixed, shape, (System.nanoTime() - beganNs) / 1e6, sentence);
  }

  /** How much there is to stop and to recreate. */
  record Shape(int processes, int threads, int descriptors) {}

  private record Moved(ContainerHandle container, double pauseMs, double fixedMs) {}

  private Moved move(ContainerHandle container, int number) throws IOException, InterruptedException {
    String migration = UUID.randomUUID().toString();
    ContainerSpec target = spec(number);
    var ended = new CompletableFuture<String>();
    try (Capture capture = engine.capture(container, new CaptureOptions(false));
        Arrival arrival = engine.receive(target.name(), target.directory());
        PageLinks.Receiving receiving = links.receive(migration, arrival, ended::complete);
        PageLinks.Sending sending = links.send(migration, receiving.endpoint(), STEP_MAX)) {
      for (int round = 0; round < ROUNDS; round++) {
        capture.round(sending);
      }
      long stoppedNs = System.nanoTime();
      capture.freeze();
      Capture.LastReport sent = capture.sendLast(sending);
      sending.end();
      capture.hold();
      String failure = await(ended);
      if (!failure.isEmpty()) {
        throw new IOException(failure);
      }
      Arrival.Report arrived = arrival.complete();
      if (!arrived.digest().equals(sent.digest())) {
        throw new IOException("The copy's digest is " + arrived.digest() + " and the original's " + sent.digest() + ".");
      }
      arrival.activate();
      double pauseMs = (System.nanoTime() - stoppedNs) / 1e6;
      capture.destroyOriginal();
      return new Moved(arrived.container(), pauseMs, pauseMs - sent.pagesNs() / 1e6);
    } catch (RuntimeException | IOException failed) {
      engine.destroy(container);
      throw failed;
    }
  }

  private static String await(CompletableFuture<String> ended) throws IOException, InterruptedException {
    try {
      return ended.get(STEP_MAX.toMillis(), TimeUnit.MILLISECONDS);
    } catch (ExecutionException | TimeoutException late) {
      throw new IOException("The stream did not end within " + STEP_MAX.toSeconds() + " s.", late);
    }
  }

  private ContainerSpec spec(int number) throws IOException {
    String name = "rehearsal-" + number;
    Path own = Files.createDirectories(directory.resolve(name));
    var command = new ArrayList<String>();
    command.add(JavaProcess.java().toString());
    command.addAll(List.of("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx16m", "-XX:-UsePerfData", "-cp", JavaProcess.classPath()));
    command.addAll(List.of(PageWriter.class.getName(), directory.toString()));
    command.addAll(ARGUMENTS);
    command.add(Long.toString(LIFE_SECONDS));
    return new ContainerSpec(name, command, Map.of("PATH", "/usr/bin:/bin"), directory, own);
  }

  private void awaitRunning() {
    WorkloadStatus.await(directory.resolve("status.json"), "of the rehearsal was not ready", STEP_MAX, status -> status.state().equals("running"));
  }

  private void deleteDirectory() {
    if (!Files.isDirectory(directory)) {
      return;
    }
    try (var paths = Files.walk(directory)) {
      for (Path path : paths.sorted(java.util.Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(path);
      }
    } catch (IOException failure) {
      LOG.warn("What the rehearsal left in {} could not be removed: {}", directory, failure.getMessage());
    }
  }
}
