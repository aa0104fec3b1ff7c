package io.gantry.checkpoint.image;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.PageReceiver;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.TreeMap;

/** The pages of one process or object in a directory of CRIU's, with those that are in the directories of pre-dumps. One thread. */
final class CriuPages {
  private static final int PARENTS_MAX = 256;
  private static final int PAGES_MAX = 256;
  private static final long PAGE = PagesFile.PAGE_BYTES;
  private static final long ADDRESS_END = 1L << 56;

  private final Path index;
  private final TreeMap<Long, Run> runs = new TreeMap<>();
  private final MemorySegment pages;
  private final Optional<CriuPages> parent;

  private record Run(long start, long end, boolean inParent, long position) {}

  private CriuPages(Path directory, String name, int depth, Arena arena) throws IOException {
    if (depth > PARENTS_MAX) {
      throw new CheckpointException(
          directory + " has more than " + PARENTS_MAX + " pre-dumps before it, or its parent links go in a circle");
    }
    index = directory.resolve(name);
    var raw = ImageFile.PAGEMAP.read(index, bytes -> bytes);
    if (raw.isEmpty()) {
      throw new CheckpointException(index + " is empty; it is damaged");
    }
    var head = pagemap_head.parseFrom(raw.getFirst());
    try (var channel = FileChannel.open(directory.resolve(SpaceNames.pages(head.getPagesId())))) {
      pages = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
    }
    boolean needsParent = add(raw.subList(1, raw.size()));
    var above = directory.resolve(SpaceNames.PARENT);
    parent =
        needsParent && Files.exists(above.resolve(name)) ? Optional.of(new CriuPages(above, name, depth + 1, arena)) : Optional.empty();
  }

  private boolean add(List<byte[]> raw) throws IOException {
    long position = 0;
    boolean needsParent = false;
    for (byte[] bytes : raw) {
      var entry = pagemap_entry.parseFrom(bytes);
      long count = Integer.toUnsignedLong(entry.getNrPages());
      long end = entry.getVaddr() + count * PAGE;
      boolean inParent = entry.hasFlags() ? (entry.getFlags() & PagesFile.IN_PARENT) != 0 : entry.getInParent();
      boolean present = entry.hasFlags() ? (entry.getFlags() & PagesFile.PRESENT) != 0 : !inParent;
      if (entry.getVaddr() < 0 || entry.getVaddr() % PAGE != 0 || end > ADDRESS_END) {
        throw new CheckpointException(index + " names pages at an impossible address; it is damaged");
      }
      if (!present && !inParent && entry.getFlags() != 0) {
        throw new CheckpointException(
            index + " names pages that were to be fetched later (--lazy-pages) and are not there; restore it with CRIU");
      }
      if (count == 0 || !present && !inParent) {
        continue;
      }
      if (present && position + count * PAGE > pages.byteSize()) {
        throw new CheckpointException(index + " names more pages than are there; the directory is damaged");
      }
      needsParent |= !present;
      runs.put(entry.getVaddr(), new Run(entry.getVaddr(), end, !present, position));
      position += present ? count * PAGE : 0;
    }
    return needsParent;
  }

  /**
   * Hands over all pages, as those of {@code space}, but not those of the kernel's code, which every new process has. For an object of
   * shared memory that has none there may be no file.
   */
  static void feed(Path directory, String name, int space, vma_entry kernelCode, PageReceiver receiver) throws IOException {
    if (name.startsWith("pagemap-shmem-") && !Files.exists(directory.resolve(name))) {
      return;
    }
    try (var arena = Arena.ofConfined()) {
      var pages = new CriuPages(directory, name, 0, arena);
      for (Run run : new ArrayList<>(pages.runs.values())) {
        pages.feed(run.start, Math.min(run.end, kernelCode.getStart()), space, receiver);
        pages.feed(Math.max(run.start, kernelCode.getEnd()), run.end, space, receiver);
      }
    }
  }

  private void feed(long start, long end, int space, PageReceiver receiver) {
    for (long at = start; at < end; ) {
      var found = runs.floorEntry(at);
      if (found == null || found.getValue().end <= at) {
        throw new CheckpointException(index + " lacks pages that a later dump refers to; copy the directory of the pre-dump again");
      }
      var run = found.getValue();
      long until = Math.min(end, run.end);
      if (run.inParent) {
        parent
            .orElseThrow(
                () ->
                    new CheckpointException(
                        index + " refers to pages of a pre-dump that is not there; copy the whole chain of directories"))
            .feed(at, until, space, receiver);
      } else {
        long part = Math.min(until, at + PAGES_MAX * PAGE);
        var content = pages.asSlice(run.position + (at - run.start), part - at);
        receiver.pages(space, new long[] {at}, new int[] {(int) ((part - at) / PAGE)}, 1, content);
        until = part;
      }
      at = until;
    }
  }
}
