package io.gantry.checkpoint.memory;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.zip.CRC32C;

/**
 * Digest over pages that does not depend on how a transport splits, joins or reorders them or whether it sends a page of zeros as
 * content: a 128-bit sum, over all pages, of a mix of space, address and CRC32C of the content. It is there to find mistakes and
 * damage, not to resist an attacker; CRC32C is ten times faster than any other hash here.
 *
 * <p>One thread.
 */
final class PageDigest {
  static final int BYTES = 16;

  private static final int PAGE = (int) Mmap.PAGE;
  private static final long ZERO_CRC = crcOfZeros();

  private final CRC32C crc = new CRC32C();
  private long low;
  private long high;

  private static long crcOfZeros() {
    var crc = new CRC32C();
    crc.update(new byte[PAGE]);
    return crc.getValue();
  }

  /** Adds runs of pages whose content lies one behind the other. */
  void add(int space, long[] addresses, int[] pageCounts, int from, int runs, MemorySegment content) {
    ByteBuffer bytes = content.asByteBuffer();
    int at = 0;
    for (int run = from; run < from + runs; run++) {
      for (int page = 0; page < pageCounts[run]; page++) {
        bytes.limit(at + PAGE).position(at);
        crc.reset();
        crc.update(bytes);
        add(space, addresses[run] + page * Mmap.PAGE, crc.getValue());
        at += PAGE;
      }
    }
  }

  /** Adds consecutive pages, but not those that are all zero: whether they hold memory does not matter to it. */
  void addContent(int space, long address, MemorySegment content) {
    ByteBuffer bytes = content.asByteBuffer();
    for (int at = 0; at < bytes.capacity(); at += PAGE) {
      bytes.limit(at + PAGE).position(at);
      crc.reset();
      crc.update(bytes);
      if (crc.getValue() != ZERO_CRC) {
        add(space, address + at, crc.getValue());
      }
    }
  }

  /** Adds pages that read as zero. */
  void addZero(int space, long address, long pages) {
    for (long page = 0; page < pages; page++) {
      add(space, address + page * Mmap.PAGE, ZERO_CRC);
    }
  }

  private void add(int space, long address, long content) {
    long where = mix(address / Mmap.PAGE + ((long) space << 40));
    low += mix(where ^ content);
    high += mix(where + (content << 32 | content) + 0x9e3779b97f4a7c15L);
  }

  /** Finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
  private static long mix(long value) {
    long z = (value ^ value >>> 30) * 0xbf58476d1ce4e5b9L;
    z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
    return z ^ z >>> 31;
  }

  byte[] bytes() {
    return ByteBuffer.allocate(BYTES).putLong(high).putLong(low).array();
  }

  /** Lower-case hexadecimal. */
  String text() {
    return HexFormat.of().formatHex(bytes());
  }
}
