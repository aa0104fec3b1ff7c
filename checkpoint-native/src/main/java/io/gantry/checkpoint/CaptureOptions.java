package io.gantry.checkpoint;

/**
 * @param verify compute the digest over every page of the container in the freeze, not only over what was sent last; lengthens the pause
 */
public record CaptureOptions(boolean verify) {}
