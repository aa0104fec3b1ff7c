package io.gantry.actors.migration;

import io.gantry.actors.MigrateOptions.OnStall;
import java.util.List;
import java.util.Locale;

/**
 * When to freeze: a pure function of the rounds so far. Each round tells how fast pages travel and how many were written
 * meanwhile, and so how
 * long a pause would be if it came now. While that falls, another round; within the budget, freeze at once; stalled, what the
 * user chose.
 */
public final class FreezePolicy {
  /** Bytes of a page on x86-64. */
  public static final int PAGE_BYTES = 4096;

  /** After so many rounds nothing new is to be learned from another. */
  static final int ROUNDS_MAX = 30;

  /** The best of so many last rounds is compared with the best before them. */
  static final int STALL_ROUNDS = 3;

  /** A prediction must fall at least to this share of the best one before to count as better. */
  static final double IMPROVEMENT = 0.95;

  /** A round of fewer pages says nothing about throughput; its time is mostly the scan. */
  static final int PAGES_FOR_RATE = 256;

  private FreezePolicy() {}

  /**
   * What one round has shown.
   *
   * @param pages pages with content that were sent
   * @param zeroPages pages that were sent without content
   * @param bytes bytes that left
   * @param elapsedNs how long it took, more than zero
   * @param dirtyPages pages written meanwhile
   */
  public record Round(long pages, long zeroPages, long bytes, long elapsedNs, long dirtyPages) {
    public Round {
      elapsedNs = Math.max(elapsedNs, 1);
    }

    public double bytesPerSecond() {
      return bytes * 1e9 / elapsedNs;
    }

    public double dirtyPagesPerSecond() {
      return dirtyPages * 1e9 / elapsedNs;
    }
  }

  /**
   * The pause to be expected if the freeze came now.
   *
   * @param memoryNs for finding and sending the last pages
   * @param fixedNs for everything else
   */
  public record Prediction(long memoryNs, long fixedNs) {
    public long pauseNs() {
      return memoryNs + fixedNs;
    }

    public double pauseMs() {
      return pauseNs() / 1e6;
    }
  }

  /** What to do next. */
  public sealed interface Decision {
    Prediction prediction();
  }

  public record AnotherRound(Prediction prediction) implements Decision {}

  /** @param why a sentence when the pause will not be within the budget; else empty */
  public record FreezeNow(Prediction prediction, String why) implements Decision {}

  /** @param why a sentence with the numbers */
  public record GiveUp(Prediction prediction, String why) implements Decision {}

  /**
   * What the user wants, and what is left of it.
   *
   * @param budgetNs longest pause
   * @param remainingNs until the deadline; may be negative
   */
  public record Goal(long budgetNs, OnStall onStall, long remainingNs) {}

  /**
   * Decides after a round.
   *
   * @param rounds at least one, in order
   * @param fixedNs what {@link PauseModel} says
   */
  public static Decision decide(List<Round> rounds, long fixedNs, Goal goal) {
    var prediction = predict(rounds, rounds.size(), fixedNs);
    if (prediction.pauseNs() <= goal.budgetNs()) {
      return new FreezeNow(prediction, "");
    }
    var last = rounds.getLast();
    if (goal.remainingNs() <= 0) {
      return new GiveUp(prediction, "the deadline has passed" + numbers(rounds, prediction, goal));
    }
    if (prediction.memoryNs() <= goal.budgetNs() / 10) {
      return stalled("what the pause costs besides memory is more than the budget, and more rounds cannot shorten it", rounds,
          prediction, goal);
    }
    if (hasStalled(rounds, fixedNs)) {
      return stalled("the container writes as fast as its pages can be sent, and more rounds no longer shorten the pause",
          rounds, prediction, goal);
    }
    if (rounds.size() >= ROUNDS_MAX) {
      return stalled(ROUNDS_MAX + " rounds were not enough", rounds, prediction, goal);
    }
    if (goal.remainingNs() < last.elapsedNs() + 2 * prediction.pauseNs()) {
      return stalled("the deadline leaves no time for another round", rounds, prediction, goal);
    }
    return new AnotherRound(prediction);
  }

  /** The prediction as it was after the first {@code count} rounds. */
  static Prediction predict(List<Round> rounds, int count, long fixedNs) {
    var nsPerPage = nsPerPage(rounds, count);
    var scanNs = Double.MAX_VALUE;
    for (var round : rounds.subList(0, count)) {
      scanNs = Math.min(scanNs, Math.max(0, round.elapsedNs() - nsPerPage * round.pages()));
    }
    return new Prediction(Math.round(nsPerPage * rounds.get(count - 1).dirtyPages() + scanNs), fixedNs);
  }

  /** From the latest round that was large enough to tell, else from the largest. */
  private static double nsPerPage(List<Round> rounds, int count) {
    var largest = rounds.getFirst();
    for (var i = count - 1; i >= 0; i--) {
      var round = rounds.get(i);
      if (round.pages() >= PAGES_FOR_RATE) {
        return round.elapsedNs() / (double) round.pages();
      }
      largest = round.pages() > largest.pages() ? round : largest;
    }
    return largest.pages() == 0 ? 0 : largest.elapsedNs() / (double) largest.pages();
  }

  private static boolean hasStalled(List<Round> rounds, long fixedNs) {
    if (rounds.size() <= STALL_ROUNDS) {
      return false;
    }
    var bestBefore = Long.MAX_VALUE;
    var bestLately = Long.MAX_VALUE;
    for (var count = 1; count <= rounds.size(); count++) {
      var predicted = predict(rounds, count, fixedNs).pauseNs();
      if (count <= rounds.size() - STALL_ROUNDS) {
        bestBefore = Math.min(bestBefore, predicted);
      } else {
        bestLately = Math.min(bestLately, predicted);
      }
    }
    return bestLately > bestBefore * IMPROVEMENT;
  }

  private static Decision stalled(String why, List<Round> rounds, Prediction prediction, Goal goal) {
    var sentence = why + numbers(rounds, prediction, goal);
    return switch (goal.onStall()) {
      case FREEZE -> new FreezeNow(prediction, sentence);
      case ABORT -> new GiveUp(prediction, sentence);
    };
  }

  private static String numbers(List<Round> rounds, Prediction prediction, Goal goal) {
    var last = rounds.getLast();
    return String.format(
        Locale.ROOT,
        ": after %d rounds the pause would be %.1f ms (%.1f ms of them for memory) against a budget of %.1f ms;"
            + " the last round sent %.1f MB/s while %.0f pages/s were written",
        rounds.size(),
        prediction.pauseMs(),
        prediction.memoryNs() / 1e6,
        goal.budgetNs() / 1e6,
        last.bytesPerSecond() / 1e6,
        last.dirtyPagesPerSecond());
  }
}
