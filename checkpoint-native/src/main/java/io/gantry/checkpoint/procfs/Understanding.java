package io.gantry.checkpoint.procfs;

import io.gantry.checkpoint.CheckpointException;
import java.util.NoSuchElementException;
import java.util.function.Supplier;

/** Where text of {@code /proc} that is not as the manual page says becomes a sentence. */
final class Understanding {
  private static final int SHOWN_MAX = 80;

  private Understanding() {}

  /**
   * What a parser makes of a text.
   *
   * @param file such as {@code /proc/PID/stat}
   * @throws CheckpointException when the parser fails, with the beginning of the text
   */
  static <T> T of(String file, Supplier<String> text, Supplier<T> parser) {
    try {
      return parser.get();
    } catch (IllegalArgumentException | IndexOutOfBoundsException | NoSuchElementException | IllegalStateException senseless) {
      String all = text.get();
      throw new CheckpointException(
          file + " is not as this Gantry knows it: \"" + all.substring(0, Math.min(SHOWN_MAX, all.length())) + "\" (" + senseless.getMessage()
              + "); is this kernel newer than Gantry?",
          senseless);
    }
  }
}
