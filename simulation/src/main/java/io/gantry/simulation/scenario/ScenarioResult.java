package io.gantry.simulation.scenario;

import io.gantry.actors.MigrationOutcome.Result;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;

/**
 * What the moves of a scenario cost.
 *
 * @param moves in the order in which they ended
 * @param virtualNs how long it took on the virtual clock
 */
public record ScenarioResult(Scenario scenario, List<Move> moves, long virtualNs) {
  /**
   * One move.
   *
   * @param kind of the container
   * @param outcome how it ended
   * @param pauseMs how long the container stood still
   * @param predictedPauseMs what was predicted before the freeze
   * @param totalMs from the request to the end
   * @param bytes that left the source
   * @param rounds of pre-copy
   */
  public record Move(
      String kind, String container, Result outcome, double pauseMs, double predictedPauseMs, double totalMs, long bytes,
      int rounds) {}

  public ScenarioResult {
    moves = List.copyOf(moves);
  }

  /** Moves that ended in that way. */
  public long count(Result outcome) {
    return moves.stream().filter(move -> move.outcome() == outcome).count();
  }

  /** Of completed moves. */
  public Distribution pauseMs() {
    return of(Move::pauseMs);
  }

  /** Of completed moves. */
  public Distribution totalMs() {
    return of(Move::totalMs);
  }

  /** Of completed moves. */
  public Distribution bytes() {
    return of(Move::bytes);
  }

  private Distribution of(ToDoubleFunction<Move> figure) {
    return new Distribution(moves.stream().filter(move -> move.outcome() == Result.COMPLETED).mapToDouble(figure).toArray());
  }

  /** A heading and one line for each move, with commas between (RFC 4180). */
  public String csv() {
    var text = new StringBuilder("kind,container,outcome,pause_ms,predicted_pause_ms,total_ms,bytes,rounds\r\n");
    for (var move : moves) {
      text.append(
          String.format(
              Locale.ROOT, "%s,%s,%s,%.3f,%.3f,%.3f,%d,%d\r\n", move.kind(), move.container(), word(move.outcome()),
              move.pauseMs(),
              move.predictedPauseMs(), move.totalMs(), move.bytes(), move.rounds()));
    }
    return text.toString();
  }

  private static String word(Result outcome) {
    return outcome.name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** Three plots under each other: which share of the completed moves did not exceed which pause, time and number of bytes. */
  public String svg() {
    return new Plot()
        .add("pause, ms", pauseMs())
        .add("total time, ms", totalMs())
        .add("bytes sent", bytes())
        .svg();
  }
}
