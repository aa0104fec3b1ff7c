package io.gantry.checkpoint;

/**
 * A tree of files that the destination of a move does not have and wants to be sent.
 *
 * @param path absolute, on the source
 * @param token which haul left what the destination has of it; empty when it has nothing
 * @param sequence how far that haul came
 * @param stays whether it stays in its place on the source, too, when the container has moved; see {@link VolumeFacts#digest}
 */
public record HaulWish(String path, String token, long sequence, boolean stays) {
  /** Of a tree that goes with the container. */
  public HaulWish(String path, String token, long sequence) {
    this(path, token, sequence, false);
  }
}
