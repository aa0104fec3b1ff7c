package io.gantry.checkpoint;

/**
 * A tree of files that the destination of a move does not have and wants to be sent.
 *
 * @param path absolute, on the source
 * @param token which haul left what the destination has of it; empty when it has nothing
 * @param sequence how far that haul came
 */
public record HaulWish(String path, String token, long sequence) {}
