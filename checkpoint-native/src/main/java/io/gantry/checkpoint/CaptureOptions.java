package io.gantry.checkpoint;

import java.util.List;

/**
 * @param verify compute the digest over every page of the container in the freeze, not only over what was sent last; lengthens the pause
 * @param hauls files that travel along
 */
public record CaptureOptions(boolean verify, List<HaulWish> hauls) {
  public CaptureOptions {
    hauls = List.copyOf(hauls);
  }

  /** Without files. */
  public CaptureOptions(boolean verify) {
    this(verify, List.of());
  }
}
