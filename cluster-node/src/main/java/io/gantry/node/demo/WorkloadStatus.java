package io.gantry.node.demo;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Predicate;

/** What a workload says about itself in its status file (written by {@code io.gantry.node.workload.StatusFile}). */
public final class WorkloadStatus {
  private final ObjectNode fields;

  private WorkloadStatus(ObjectNode fields) {
    this.fields = fields;
  }

  /** Reads it; empty while there is none, or when it was read in the middle of a write. */
  public static Optional<WorkloadStatus> read(Path file) {
    try {
      ObjectNode fields = Json.parse(new String(Files.readAllBytes(file), StandardCharsets.UTF_8));
      return fields.path("seq").asLong(-1) == fields.path("end").asLong(-2) ? Optional.of(new WorkloadStatus(fields)) : Optional.empty();
    } catch (IOException notYet) {
      return Optional.empty();
    }
  }

  /**
   * Reads until something is true of it.
   *
   * @param awaited completes "The program … within …"
   * @throws CommandException when it did not become true in time
   */
  public static WorkloadStatus await(Path file, String awaited, Duration longest, Predicate<WorkloadStatus> condition) {
    long deadlineNs = System.nanoTime() + longest.toNanos();
    while (true) {
      Optional<WorkloadStatus> status = read(file).filter(condition);
      if (status.isPresent()) {
        return status.get();
      }
      if (System.nanoTime() > deadlineNs) {
        throw new CommandException(
            ExitCode.CHECK_FAILED, "The program " + awaited + " within " + longest.toSeconds() + " s. Its output: gantry logs.");
      }
      LockSupport.parkNanos(5_000_000);
    }
  }

  public String state() {
    return fields.path("state").asText();
  }

  public long checks() {
    return fields.path("checks").asLong();
  }

  public long errors() {
    return fields.path("errors").asLong();
  }

  /** The first thing that was wrong, or empty. */
  public String firstError() {
    return fields.path("first_error").asText();
  }

  /** When it was written, by {@link System#nanoTime()} of this machine. */
  public long writtenNs() {
    return fields.path("now_ns").asLong();
  }

  /** The longest gap since the program was ready. */
  public double longestGapMs() {
    return fields.path("max_gap_ns").asLong() / 1e6;
  }

  /**
   * The longest gap that ended in a period.
   *
   * @param fromNs both by {@link System#nanoTime()} of this machine, which all its processes share ({@code CLOCK_MONOTONIC})
   */
  public double longestGapMs(long fromNs, long toNs) {
    long longest = 0;
    var ends = fields.path("gap_end_ns");
    var lengths = fields.path("gap_ns");
    for (int i = 0; i < ends.size(); i++) {
      long end = ends.get(i).asLong();
      if (end >= fromNs && end <= toNs) {
        longest = Math.max(longest, lengths.get(i).asLong());
      }
    }
    return longest / 1e6;
  }
}
