package io.gantry.checkpoint.image;

/**
 * Numbers of the messages that travel in the stream between two hosts, between the pages and in order with them. Part of the
 * protocol: a number is never given a second meaning.
 */
public final class StreamMessage {
  /** {@code round_begin}: processes, layouts and shared objects of a round. */
  public static final int ROUND_BEGIN = 1;

  /** {@code fork_point}: a stub is cloned from its parent's at this point in the order of pages. */
  public static final int FORK = 2;

  /** {@code round_end}: everything written up to the begin of the round has been sent. */
  public static final int ROUND_END = 3;

  /** {@code final_state}: registers, ids, descriptors and everything else that is not memory. */
  public static final int FINAL_STATE = 4;

  /** Content of a file that travels along: the console, or a file that is open but deleted. */
  public static final int FILE_DATA = 5;

  /** {@code end_entry}: nothing follows; carries the digest. */
  public static final int END = 6;

  /** {@code tree_plan_entry}: how the stubs of the round that follows come to be; comes before {@link #ROUND_BEGIN}. */
  public static final int TREE_PLAN = 7;

  /** {@code descriptors_entry}: every open file and who has it under which number. */
  public static final int DESCRIPTORS = 8;

  /**
   * {@code network_state}: the container has a network namespace of its own, which can be prepared before {@link #FINAL_STATE}
   * says how it is in the end; comes before the
   * first {@link #TREE_PLAN}.
   */
  public static final int NETWORK = 9;

  /** {@code haul_entry}: files that travel along because the destination does not share them; the first come before the first {@link #TREE_PLAN}. */
  public static final int HAUL = 10;

  private StreamMessage() {}
}
