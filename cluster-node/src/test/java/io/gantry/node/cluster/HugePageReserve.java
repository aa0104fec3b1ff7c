package io.gantry.node.cluster;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Huge pages of the usual size that the host sets aside while this is open; others may set aside their own meanwhile. */
final class HugePageReserve implements AutoCloseable {
  private static final Path POOL = Path.of("/proc/sys/vm/nr_hugepages");

  /** Written to, it has the kernel move pages until free ones lie together ({@code Documentation/admin-guide/sysctl/vm.rst}). */
  private static final Path COMPACT = Path.of("/proc/sys/vm/compact_memory");

  private static final int ATTEMPTS_MAX = 5;
  private static final int DIGITS_MAX = 40;

  private final int pages;

  private HugePageReserve(int pages) {
    this.pages = pages;
  }

  static HugePageReserve of(int pages) {
    int have = 0;
    for (int attempt = 0; have < pages && attempt < ATTEMPTS_MAX; attempt++) {
      if (attempt > 0) {
        write(COMPACT, 1);
      }
      have += change(pages - have);
    }
    if (have < pages) {
      change(-have);
      throw new AssertionError("this host can set aside no more than " + have + " of " + pages + " huge pages: too little memory is free, or it is in pieces");
    }
    return new HugePageReserve(pages);
  }

  /** How many have come: fewer than wanted when memory is in pieces. */
  private static synchronized int change(int pages) {
    int before = count();
    write(POOL, before + pages);
    return count() - before;
  }

  private static int count() {
    // In one read: the kernel gives nothing to a second one (kernel/sysctl.c), and readString begins with a single byte.
    try (var in = Files.newInputStream(POOL)) {
      return Integer.parseInt(new String(in.readNBytes(DIGITS_MAX), StandardCharsets.US_ASCII).strip());
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  private static void write(Path file, int number) {
    try {
      Files.writeString(file, Integer.toString(number));
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  @Override
  public void close() {
    change(-pages);
  }
}
