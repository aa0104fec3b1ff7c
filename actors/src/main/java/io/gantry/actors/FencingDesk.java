package io.gantry.actors;

import io.gantry.actors.FencingCommand.Outcome;
import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiConsumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs the fencing command for hosts that containers here wait for. Only used on the {@link NodeGuardian}'s thread; the
 * command itself runs where calls may block.
 */
final class FencingDesk {
  /** How often it is looked whether something is due. */
  static final Duration LOOK = Duration.ofMillis(500);

  private static final Logger LOG = LoggerFactory.getLogger(FencingDesk.class);
  private static final Duration PAUSE = Duration.ofSeconds(5);
  private static final Duration PAUSE_MAX = Duration.ofMinutes(10);

  /** What the desk makes of an outcome. */
  interface Ends {
    /** The host is off: as if a person had said so. */
    void confirm(String migration, String reason);

    /** A sentence for the container's note. */
    void note(String migration, String sentence);
  }

  /** A container that waits for a host. */
  private static final class Doubt {
    final String container;
    final String peer;
    boolean isLost;
    long lostSinceNs;
    long notBeforeNs;
    int failures;
    boolean isRunning;

    Doubt(String container, String peer) {
      this.container = container;
      this.peer = peer;
    }
  }

  private final Fencing fencing;
  private final World world;
  private final NodeTables tables;
  private final BiConsumer<String, Outcome> ended;
  private final Ends ends;
  private final Map<String, Doubt> doubts = new TreeMap<>();

  /** @param ended is told of a command's end on any thread, and calls {@link #onEnded} on the guardian's */
  FencingDesk(Fencing fencing, World world, NodeTables tables, BiConsumer<String, Outcome> ended, Ends ends) {
    this.fencing = fencing;
    this.world = world;
    this.tables = tables;
    this.ended = ended;
    this.ends = ends;
  }

  /** A move has begun to wait for the word of the other host, and cannot go on without it. */
  void waits(String migration, String container, String peer) {
    if (fencing.isOn()) {
      doubts.putIfAbsent(migration, new Doubt(container, peer));
    }
  }

  /** It waits no more. */
  void settled(String migration) {
    doubts.remove(migration);
  }

  /** Time to look. */
  void look() {
    var nowNs = world.nowNs().getAsLong();
    doubts.forEach(
        (migration, doubt) -> {
          if (tables.isReachable(doubt.peer)) {
            doubt.isLost = false;
            return;
          }
          if (!doubt.isLost) {
            doubt.isLost = true;
            doubt.lostSinceNs = nowNs;
            doubt.failures = 0;
            doubt.notBeforeNs = nowNs + fencing.after().toNanos();
          }
          if (!doubt.isRunning && nowNs - doubt.notBeforeNs >= 0) {
            run(migration, doubt, (nowNs - doubt.lostSinceNs) / 1_000_000_000L);
          }
        });
  }

  private void run(String migration, Doubt doubt, long waitedS) {
    doubt.isRunning = true;
    if (doubt.failures == 0) {
      LOG.warn(
          "Container {} has waited {} s for node {}, which cannot be reached: the fencing command is run", doubt.container,
          waitedS, doubt.peer);
    }
    var words = fencing.words(doubt.peer, tables.addresses.getOrDefault(doubt.peer, ""));
    new BlockingLane(world.blocking())
        .submit(() -> FencingCommand.run(words, fencing.deadline()))
        .whenComplete(
            (outcome, failure) ->
                ended.accept(migration, failure == null ? outcome : new Outcome(false, BlockingLane.sentence(failure), "")));
  }

  /** A command has ended. */
  void onEnded(String migration, Outcome outcome) {
    var doubt = doubts.get(migration);
    if (doubt == null) {
      return; // the other host has answered meanwhile
    }
    doubt.isRunning = false;
    var isFirst = doubt.failures == 0;
    if (isFirst || outcome.isOff()) {
      LOG.warn(
          "For container {} and node {}: {}{}", doubt.container, doubt.peer, outcome.sentence(),
          outcome.output().isEmpty() ? "" : " It wrote: " + outcome.output());
    }
    if (outcome.isOff() && tables.isReachable(doubt.peer)) {
      LOG.warn("Node {} can be reached again although the fencing command says that it is off; it is asked instead", doubt.peer);
      return;
    }
    if (outcome.isOff()) {
      ends.confirm(migration, "The fencing command confirms that node " + doubt.peer + " is off.");
      return;
    }
    doubt.failures++;
    var pause = PAUSE.multipliedBy(1L << Math.min(doubt.failures - 1, 10));
    doubt.notBeforeNs = world.nowNs().getAsLong() + (pause.compareTo(PAUSE_MAX) < 0 ? pause : PAUSE_MAX).toNanos();
    if (isFirst) {
      ends.note(
          migration,
          "It waits for node %s, which cannot be reached and could not be fenced: %s That is tried again."
              .formatted(doubt.peer, outcome.sentence()));
    }
  }
}
