package io.gantry.checkpoint;

import java.util.List;

/**
 * What a tree of processes has of one kind, and whether and how it moves.
 *
 * @param part what it belongs to: {@code "process"}, {@code "memory"}, {@code "descriptor"}, {@code "namespace"}, {@code "timer"}
 * @param kind the field's name for it, such as {@code "eventfd"}; the same words as in {@link Finding#kind}
 * @param count how many there are, 0 or more
 * @param how how it moves, a sentence without a full stop; empty when nothing of this kind can
 * @param reasons why not, one entry for each that cannot be carried
 */
public record Holding(String part, String kind, int count, String how, List<Finding> reasons) {
  public Holding {
    reasons = List.copyOf(reasons);
  }

  /** Something for which nothing speaks against carrying it, as far as is known yet. */
  public static Holding of(String part, String kind, int count, String how) {
    return new Holding(part, kind, count, how, List.of());
  }

  /** Whether all of it moves. */
  public boolean moves() {
    return reasons.isEmpty();
  }

  /** The same with reasons. */
  Holding because(List<Finding> findings) {
    return new Holding(part, kind, count, how, findings);
  }
}
