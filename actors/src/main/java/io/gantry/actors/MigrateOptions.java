package io.gantry.actors;

import java.time.Duration;
import java.util.Objects;

/**
 * What the user wants of one move.
 *
 * @param pauseBudget longest pause that the container should see; more than zero
 * @param deadline longest time the whole move may take until the commit; more than zero. A move that has not begun to commit by
 *     then is rolled back
 * @param onStall what to do when more rounds no longer shorten the predicted pause
 * @param verify compute the digest over every page in the freeze; lengthens the pause
 */
public record MigrateOptions(Duration pauseBudget, Duration deadline, OnStall onStall, boolean verify) {
  /** What to do when the rounds have stalled above the budget. */
  public enum OnStall {
    /** Freeze anyway and accept the longer pause. */
    FREEZE,
    /** Give up; the container runs on at the source, and the outcome carries the numbers. */
    ABORT
  }

  public MigrateOptions {
    Objects.requireNonNull(onStall);
    if (!pauseBudget.isPositive()) {
      throw new IllegalArgumentException("The pause budget must be more than zero, not " + pauseBudget + ".");
    }
    if (!deadline.isPositive()) {
      throw new IllegalArgumentException("The deadline must be more than zero, not " + deadline + ".");
    }
  }

  /** 20 ms, 60 s, freeze on stall, no verification. */
  public static MigrateOptions defaults() {
    return new MigrateOptions(Duration.ofMillis(20), Duration.ofSeconds(60), OnStall.FREEZE, false);
  }

  public MigrateOptions withPauseBudget(Duration budget) {
    return new MigrateOptions(budget, deadline, onStall, verify);
  }

  public MigrateOptions withDeadline(Duration longest) {
    return new MigrateOptions(pauseBudget, longest, onStall, verify);
  }

  public MigrateOptions withOnStall(OnStall choice) {
    return new MigrateOptions(pauseBudget, deadline, choice, verify);
  }

  public MigrateOptions withVerify(boolean everyPage) {
    return new MigrateOptions(pauseBudget, deadline, onStall, everyPage);
  }
}
