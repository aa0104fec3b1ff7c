package io.gantry.checkpoint;

import com.dynatrace.hash4j.hashing.Hashing;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.final_state;
import io.gantry.checkpoint.state.StateDigest;
import java.nio.charset.StandardCharsets;

/**
 * The digest that both hosts compute at the commit, over memory and state. It finds mistakes and damage and is no protection against
 * an attacker. Pure.
 */
final class CommitDigest {
  private CommitDigest() {}

  /**
   * @param memory digest over all pages that were sent, as read on the source or as written on the destination
   * @param allMemory digest over every page, or empty when that was not asked for
   * @return 32 lower-case hexadecimal digits
   */
  static String of(String memory, String allMemory, final_state processes, descriptors_entry descriptors) {
    return of(memory, allMemory, processes, descriptors, "");
  }

  /** @param files digest over everything that was sent of files that travel along, or empty when none do */
  static String of(String memory, String allMemory, final_state processes, descriptors_entry descriptors, String files) {
    return of(memory, allMemory, StateDigest.canonical(processes), descriptors.toByteArray(), files);
  }

  /** @param processes from {@link StateDigest#canonical}; @param descriptors their {@code descriptors_entry} */
  static String of(String memory, String allMemory, byte[] processes, byte[] descriptors, String files) {
    var stream = Hashing.xxh3_128().hashStream();
    for (byte[] part :
        new byte[][] {
          memory.getBytes(StandardCharsets.US_ASCII), allMemory.getBytes(StandardCharsets.US_ASCII), processes, descriptors
        }) {
      stream.putInt(part.length).putBytes(part);
    }
    if (!files.isEmpty()) {
      stream.putBytes(files.getBytes(StandardCharsets.US_ASCII));
    }
    return stream.get().toString();
  }
}
