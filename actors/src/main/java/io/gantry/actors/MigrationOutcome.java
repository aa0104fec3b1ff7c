package io.gantry.actors;

import com.fasterxml.jackson.annotation.JsonProperty;
import io.gantry.actors.protocol.WireMessage;
import java.util.List;

/**
 * How a move ended, with the numbers; its JSON form is what {@code gantry migrate --json} prints. All times are measured on the
 * source's monotonic clock, or on the destination's and then carried as durations; clocks of two hosts are never compared.
 *
 * @param container name of the container
 * @param from node it was on
 * @param to node it was to go to
 * @param outcome how it ended
 * @param reason one or more sentences; empty when completed
 * @param rounds the pre-copy rounds in order
 * @param bytesSent bytes of pages and state that left the source, framing included
 * @param zeroPages pages that were sent without content
 * @param predictedPauseMs what the last prediction before the freeze said; 0 when it never came to that
 * @param pauseMs from the first stop request on the source until the source knew that the copy runs: an upper bound of the real
 *     pause. 0 when nothing was stopped. For a rollback after the freeze: until the original ran again
 * @param totalMs from the request to the end
 * @param phasesMs the parts of the pause
 * @param warnings what differs between the hosts without being in the way, a sentence each
 */
public record MigrationOutcome(
    @JsonProperty("container") String container,
    @JsonProperty("from") String from,
    @JsonProperty("to") String to,
    @JsonProperty("outcome") Result outcome,
    @JsonProperty("reason") String reason,
    @JsonProperty("rounds") List<Round> rounds,
    @JsonProperty("bytes_sent") long bytesSent,
    @JsonProperty("zero_pages") long zeroPages,
    @JsonProperty("predicted_pause_ms") double predictedPauseMs,
    @JsonProperty("pause_ms") double pauseMs,
    @JsonProperty("total_ms") double totalMs,
    @JsonProperty("phases_ms") PausePhases phasesMs,
    @JsonProperty("warnings") List<String> warnings)
    implements WireMessage {
  public MigrationOutcome {
    rounds = List.copyOf(rounds);
    warnings = warnings == null ? List.of() : List.copyOf(warnings);
  }

  /** Of a move whose figures are lost. */
  static MigrationOutcome withoutFigures(String container, String from, String to, Result outcome, String reason) {
    return new MigrationOutcome(container, from, to, outcome, reason, List.of(), 0, 0, 0, 0, 0, PausePhases.NONE, List.of());
  }

  /** The four ways a move can end. */
  public enum Result {
    /** The container runs on the destination; nothing of it is left on the source. */
    @JsonProperty("completed")
    COMPLETED,
    /** It was begun and undone; the container runs on the source. */
    @JsonProperty("rolled-back")
    ROLLED_BACK,
    /** It was not begun; the container was not touched. */
    @JsonProperty("refused")
    REFUSED,
    /** The commit was made and the destination has not answered yet; the original stays frozen and the question is repeated. */
    @JsonProperty("in-doubt")
    IN_DOUBT
  }

  /**
   * One pre-copy round.
   *
   * @param pages pages with content
   * @param bytes bytes that left
   * @param ms how long it took
   * @param dirtyPagesPerSecond pages written meanwhile, per second
   */
  public record Round(
      @JsonProperty("pages") long pages,
      @JsonProperty("bytes") long bytes,
      @JsonProperty("ms") double ms,
      @JsonProperty("dirty_pages_per_s") double dirtyPagesPerSecond) {}

  /**
   * The named parts of the pause, in order, in milliseconds.
   *
   * @param freeze stopping every thread
   * @param lastPages reading and sending the last pages
   * @param state reading and sending the kernel objects
   * @param transfer handing the original to the freezer, and what was still on its way
   * @param recreate kernel objects and digest on the destination
   * @param commit the ledgers of both sides and the messages between them
   * @param resume letting the copy run
   */
  public record PausePhases(
      @JsonProperty("freeze") double freeze,
      @JsonProperty("last_pages") double lastPages,
      @JsonProperty("state") double state,
      @JsonProperty("transfer") double transfer,
      @JsonProperty("recreate") double recreate,
      @JsonProperty("commit") double commit,
      @JsonProperty("resume") double resume) {
    /** Nothing was paused. */
    public static final PausePhases NONE = new PausePhases(0, 0, 0, 0, 0, 0, 0);
  }
}
