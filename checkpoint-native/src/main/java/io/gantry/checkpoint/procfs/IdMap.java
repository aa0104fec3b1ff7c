package io.gantry.checkpoint.procfs;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Collectors;

/**
 * Which ids outside a user namespace are which inside: {@code /proc/PID/uid_map} and {@code gid_map} ({@code man 7
 * user_namespaces}). What is outside is as the reader of such a file counts. Ids are unsigned 32-bit values. Immutable.
 */
public record IdMap(List<Extent> extents) {
  /** Every id is itself: the map of no user namespace, for processes that share the reader's. */
  public static final IdMap IDENTITY = new IdMap(List.of(new Extent(0, 0, 0xffff_ffffL)));

  public IdMap {
    extents = List.copyOf(extents);
  }

  /**
   * Ids in a row.
   *
   * @param inside the first one inside
   * @param outside the first one outside
   * @param count how many
   */
  public record Extent(long inside, long outside, long count) {}

  /** From the text of such a file. */
  public static IdMap parse(String text) {
    return Understanding.of("/proc/PID/uid_map", () -> text, () -> understand(text));
  }

  private static IdMap understand(String text) {
    var extents = new ArrayList<Extent>();
    for (String line : text.split("\n")) {
      if (!line.isBlank()) {
        String[] words = line.strip().split("\\s+");
        extents.add(new Extent(Long.parseLong(words[0]), Long.parseLong(words[1]), Long.parseLong(words[2])));
      }
    }
    return new IdMap(extents);
  }

  /** What an id is called inside; empty when nobody inside can name it. */
  public OptionalInt inside(int outside) {
    long id = Integer.toUnsignedLong(outside);
    for (var extent : extents) {
      if (id >= extent.outside && id < extent.outside + extent.count) {
        return OptionalInt.of((int) (id - extent.outside + extent.inside));
      }
    }
    return OptionalInt.empty();
  }

  /** What an id of the inside is called outside; empty when there is none. */
  public OptionalInt outside(int inside) {
    long id = Integer.toUnsignedLong(inside);
    for (var extent : extents) {
      if (id >= extent.inside && id < extent.inside + extent.count) {
        return OptionalInt.of((int) (id - extent.inside + extent.outside));
      }
    }
    return OptionalInt.empty();
  }

  /**
   * The same with the ids outside as those of another user namespace count that lies between.
   *
   * @param between of that one, as the same reader counts
   * @throws IllegalStateException when it does not have them all
   */
  public IdMap seenFrom(IdMap between) {
    return new IdMap(
        extents.stream()
            .map(
                extent ->
                    new Extent(
                        extent.inside,
                        Integer.toUnsignedLong(
                            between.inside((int) extent.outside)
                                .orElseThrow(() -> new IllegalStateException(extent + " is not within " + between))),
                        extent.count))
            .toList());
  }

  /** As such a file takes it; empty when nothing is mapped. */
  public String text() {
    return extents.stream()
        .map(extent -> extent.inside + " " + extent.outside + " " + extent.count + "\n")
        .collect(Collectors.joining());
  }
}
