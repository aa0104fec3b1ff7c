package io.gantry.checkpoint.image;

import io.gantry.checkpoint.PageReader;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.zip.CRC32C;

/** {@code pages-N.img} of one space, being written, with the index that says which addresses they belong to. One thread. */
final class PagesFile implements AutoCloseable {
  static final int PAGE_BYTES = 4096;
  /** {@code PE_PARENT} of {@code pagemap_entry.flags}: the content is in the directory {@code parent}. */
  static final int IN_PARENT = 1;
  /** {@code PE_PRESENT}. */
  static final int PRESENT = 4;
  private static final int COPY_BYTES = 1 << 20;

  private final int number;
  private final Path directory;
  private final Path spool;
  private final FileChannel channel;
  private final OutputStream index;
  private final CRC32C crc = new CRC32C();
  private long bytes;
  private long lastEnd = Long.MIN_VALUE;
  private boolean ascending = true;
  private byte[] expected = new byte[0];
  private long expectedAt;

  /** @param number {@code pages_id} */
  PagesFile(Path directory, int number) throws IOException {
    this.number = number;
    this.directory = directory;
    spool = directory.resolve("pagemap-of-" + number + ".img");
    channel =
        FileChannel.open(
            directory.resolve(SpaceNames.pages(number)),
            StandardOpenOption.CREATE_NEW,
            StandardOpenOption.READ,
            StandardOpenOption.WRITE);
    index = new BufferedOutputStream(Files.newOutputStream(spool, StandardOpenOption.CREATE_NEW));
    begin(index, number);
  }

  private static void begin(OutputStream index, int number) throws IOException {
    index.write(ImageFile.PAGEMAP.header());
    ImageFile.writeEntry(index, pagemap_head.newBuilder().setPagesId(number).build());
  }

  private static void entry(OutputStream index, long address, long pages, int flags) throws IOException {
    ImageFile.writeEntry(
        index, pagemap_entry.newBuilder().setVaddr(address).setNrPages((int) pages).setFlags(flags).build());
  }

  /** How long it is by now. */
  long bytes() {
    return bytes;
  }

  /** Whether the pages come by address and none of them twice, as CRIU reads them. */
  boolean ascending() {
    return ascending;
  }

  /**
   * Pages that nobody sends and that CRIU wants to find, the kernel's own code; they are put where their address belongs.
   *
   * @param content whole pages
   */
  void expect(long address, byte[] content) {
    expected = content;
    expectedAt = address;
  }

  void append(
      long[] addresses, int[] pageCounts, int runCount, PageReader reader, MemorySegment buffer, Consumer<PageMap.Run> sink)
      throws IOException {
    reader.read(addresses, pageCounts, runCount, buffer);
    ByteBuffer content = buffer.asByteBuffer();
    int at = 0;
    for (int run = 0; run < runCount; run++) {
      if (expected.length > 0 && addresses[run] >= expectedAt) {
        append(content.limit(at));
        appendExpected(sink);
      }
      int length = pageCounts[run] * PAGE_BYTES;
      add(addresses[run], length, bytes + at - content.position(), sink);
      at += length;
    }
    append(content.limit(at));
  }

  private void add(long address, int length, long position, Consumer<PageMap.Run> sink) throws IOException {
    ascending &= address >= lastEnd;
    lastEnd = address + length;
    entry(index, address, length / PAGE_BYTES, PRESENT);
    sink.accept(new PageMap.Run(address, lastEnd, Optional.of(this), position));
  }

  /** Puts what was expected at the end when nothing came that lies behind it. */
  void appendExpected(Consumer<PageMap.Run> sink) throws IOException {
    if (expected.length > 0) {
      add(expectedAt, expected.length, bytes, sink);
      append(ByteBuffer.wrap(expected));
      expected = new byte[0];
    }
  }

  private void append(ByteBuffer content) throws IOException {
    crc.update(content.duplicate());
    while (content.hasRemaining()) {
      bytes += channel.write(content);
    }
  }

  /** Ends both files. */
  image_file finish(String indexName) throws IOException {
    return finish(indexName, SpaceNames.pages(number));
  }

  /** @param earlier pages by address that are in the parent directory and are to be named by the index, too */
  image_file finish(String indexName, List<PageMap.Run> earlier) throws IOException {
    if (earlier.isEmpty()) {
      return finish(indexName);
    }
    index.close();
    var own = ImageFile.PAGEMAP.read(spool, bytes -> bytes);
    try (var merged = new BufferedOutputStream(Files.newOutputStream(directory.resolve(indexName), StandardOpenOption.CREATE_NEW))) {
      begin(merged, number);
      int next = 0;
      for (byte[] bytes : own.subList(1, own.size())) {
        var entry = pagemap_entry.parseFrom(bytes);
        for (; next < earlier.size() && earlier.get(next).start() < entry.getVaddr(); next++) {
          inParent(merged, earlier.get(next));
        }
        ImageFile.writeEntry(merged, entry);
      }
      for (; next < earlier.size(); next++) {
        inParent(merged, earlier.get(next));
      }
    }
    Files.delete(spool);
    return sum(SpaceNames.pages(number));
  }

  private static void inParent(OutputStream index, PageMap.Run run) throws IOException {
    entry(index, run.start(), (run.end() - run.start()) / PAGE_BYTES, IN_PARENT);
  }

  /** Ends both files under other names than CRIU's; only {@code stream.img} refers to them. */
  List<image_file> finishForStream() throws IOException {
    var sums = new ArrayList<image_file>();
    sums.add(finish(SpaceNames.streamPagemap(number), SpaceNames.streamPages(number)));
    return sums;
  }

  private image_file finish(String indexName, String pagesName) throws IOException {
    index.close();
    if (!pagesName.equals(SpaceNames.pages(number))) {
      Files.move(directory.resolve(SpaceNames.pages(number)), directory.resolve(pagesName));
    }
    Files.move(spool, directory.resolve(indexName));
    return sum(pagesName);
  }

  private image_file sum(String name) throws IOException {
    channel.force(true);
    return image_file.newBuilder().setName(name).setSize(bytes).setCrc32C((int) crc.getValue()).build();
  }

  /** Copies pages together from where they are. The files that they come from must not be closed yet. */
  void gather(List<PageMap.Run> runs) throws IOException {
    var buffer = ByteBuffer.allocateDirect(COPY_BYTES);
    for (PageMap.Run run : runs) {
      for (long done = 0; done < run.end() - run.start(); done += buffer.limit()) {
        buffer.clear().limit((int) Math.min(COPY_BYTES, run.end() - run.start() - done));
        if (run.file().isPresent()) {
          run.file().get().read(buffer, run.position() + done);
        } else {
          while (buffer.hasRemaining()) {
            buffer.put((byte) 0);
          }
        }
        append(buffer.flip());
      }
      entry(index, run.start(), (run.end() - run.start()) / PAGE_BYTES, PRESENT);
    }
  }

  private void read(ByteBuffer into, long position) throws IOException {
    for (long at = position; into.hasRemaining(); ) {
      int count = channel.read(into, at);
      if (count <= 0) {
        throw new IOException("the file of pages " + number + " ends at byte " + at);
      }
      at += count;
    }
  }

  @Override
  public void close() throws IOException {
    index.close();
    channel.close();
  }
}
