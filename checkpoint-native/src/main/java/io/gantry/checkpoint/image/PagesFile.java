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
import java.util.zip.CRC32C;

/** {@code pages-N.img} of one space, being written, with the index that says which addresses they belong to. One thread. */
final class PagesFile implements AutoCloseable {
  static final int PAGE_BYTES = 4096;
  /** {@code PE_PRESENT} of {@code pagemap_entry.flags}. */
  private static final int PRESENT = 4;

  private final Path pages;
  private final Path spool;
  private final FileChannel channel;
  private final OutputStream index;
  private final CRC32C crc = new CRC32C();
  private long bytes;

  /** @param number {@code pages_id} */
  PagesFile(Path directory, int number) throws IOException {
    pages = directory.resolve(SpaceNames.pages(number));
    spool = directory.resolve("pagemap-of-" + number + ".img");
    channel = FileChannel.open(pages, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    index = new BufferedOutputStream(Files.newOutputStream(spool, StandardOpenOption.CREATE_NEW));
    index.write(ImageFile.PAGEMAP.header());
    ImageFile.writeEntry(index, pagemap_head.newBuilder().setPagesId(number).build());
  }

  void append(long[] addresses, int[] pageCounts, int runCount, PageReader reader, MemorySegment buffer) throws IOException {
    reader.read(addresses, pageCounts, runCount, buffer);
    ByteBuffer content = buffer.asByteBuffer();
    crc.update(content.duplicate());
    while (content.hasRemaining()) {
      bytes += channel.write(content);
    }
    for (int run = 0; run < runCount; run++) {
      ImageFile.writeEntry(
          index,
          pagemap_entry.newBuilder().setVaddr(addresses[run]).setNrPages(pageCounts[run]).setFlags(PRESENT).build());
    }
  }

  /** Ends both files. */
  image_file finish(String indexName) throws IOException {
    index.close();
    channel.force(true);
    channel.close();
    Files.move(spool, spool.resolveSibling(indexName));
    return image_file.newBuilder()
        .setName(pages.getFileName().toString())
        .setSize(bytes)
        .setCrc32C((int) crc.getValue())
        .build();
  }

  @Override
  public void close() throws IOException {
    index.close();
    channel.close();
  }
}
