package io.gantry.actors;

import com.fasterxml.jackson.annotation.JsonProperty;
import io.gantry.actors.protocol.WireMessage;

/**
 * How far a move is; told to subscribers after each round and at each change of phase.
 *
 * @param container name of the container
 * @param migration id of the move
 * @param from source node
 * @param to destination node
 * @param phase name of the phase as in the state diagram of {@code SourceTransition}, such as {@code PreCopying}
 * @param round number of rounds that were sent so far
 * @param pages pages of the last round
 * @param bytes bytes sent so far in all rounds
 * @param residentBytes what the container held when the move was asked for; the first round sends about that much
 * @param bytesPerSecond throughput of the last round
 * @param dirtyPagesPerSecond pages written per second in the last round
 * @param predictedPauseMs pause to be expected if the freeze came now; 0 while unknown
 * @param sentence for people; empty when the numbers say it all
 */
public record MigrationProgress(
    @JsonProperty("container") String container,
    @JsonProperty("migration") String migration,
    @JsonProperty("from") String from,
    @JsonProperty("to") String to,
    @JsonProperty("phase") String phase,
    @JsonProperty("round") int round,
    @JsonProperty("pages") long pages,
    @JsonProperty("bytes") long bytes,
    @JsonProperty("resident_bytes") long residentBytes,
    @JsonProperty("bytes_per_s") double bytesPerSecond,
    @JsonProperty("dirty_pages_per_s") double dirtyPagesPerSecond,
    @JsonProperty("predicted_pause_ms") double predictedPauseMs,
    @JsonProperty("sentence") String sentence)
    implements WireMessage {}
