package io.gantry.simulation.fault;

import java.util.List;

/**
 * A phase of a move on one of its sides, by the title that {@link io.gantry.actors.migration.SourceTransition} and {@link
 * io.gantry.actors.migration.DestinationTransition} give it.
 */
public record MovePhase(Side side, String title) {
  /** Which host of a move. */
  public enum Side {
    SOURCE,
    DESTINATION
  }

  /** All in which a move can be met, in their usual order. */
  public static final List<MovePhase> ALL =
      List.of(
          source("Inspecting"),
          source("Offering"),
          source("Pausing"),
          source("Connecting"),
          source("PreCopying"),
          source("Freezing"),
          source("SendingLast"),
          source("AwaitingReady"),
          source("Releasing"),
          source("Activating"),
          source("Unsaying"),
          source("TakingBack"),
          source("Destroying"),
          source("Forgetting"),
          source("RollingBack"),
          destination("Checking"),
          destination("Announcing"),
          destination("Opening"),
          destination("Receiving"),
          destination("Recreating"),
          destination("RecordingHeld"),
          destination("Holding"),
          destination("Owning"),
          destination("Starting"),
          destination("Discarding"),
          destination("Forgetting"));

  public static MovePhase source(String title) {
    return new MovePhase(Side.SOURCE, title);
  }

  public static MovePhase destination(String title) {
    return new MovePhase(Side.DESTINATION, title);
  }

  @Override
  public String toString() {
    return (side == Side.SOURCE ? "source " : "destination ") + title;
  }
}
