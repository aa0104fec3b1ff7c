package io.gantry.checkpoint;

import java.util.List;

/**
 * One line of the comparison of two hosts.
 *
 * @param name what was compared
 * @param source what the host has that a container would leave, short enough for a table
 * @param destination what the other one has
 * @param verdict what follows
 * @param sentence why; empty when it fits
 */
public record HostDifference(String name, String source, String destination, Verdict verdict, String sentence) {
  /** Those with one verdict, as they are told when a container is to move. */
  public static List<Finding> findings(List<HostDifference> all, Verdict verdict) {
    return all.stream().filter(one -> one.verdict == verdict).map(one -> new Finding(0, -1, one.name, one.sentence)).toList();
  }

  /** What follows from a difference. */
  public enum Verdict {
    /** Nothing; they fit. */
    FITS,
    /** Moves go on, and tell. */
    WARNS,
    /** Moves are refused before the container is touched. */
    REFUSES
  }
}
