package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.PagemapScan;
import io.gantry.checkpoint.linux.ProcMem;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.memory.StubProvider.Stub;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;

/**
 * Private memory of one stub: writes pages into it, and drops them again. Pages may be written from any one thread; drops run on the
 * tracer thread, are collected, and are made before anything is written to the same place.
 */
final class StubMemory implements AutoCloseable {
  private static final MemorySegment ZEROS = Arena.global().allocate(64 * Mmap.PAGE, Mmap.PAGE);
  private static final int DROPS_MAX = 256;

  private final Stub stub;
  private final int space;
  private final OnTracer tracer;
  private final ProcMem memory;

  /** Pages that hold memory here. */
  private final PageSet written;

  private final PageSet drops = new PageSet();
  private int dropRuns;
  private List<Vma> layout = List.of();

  /** What could not be written into this layout, because it is older than the pages. */
  private Optional<CheckpointException> tooNew = Optional.empty();

  StubMemory(Stub stub, int space, OnTracer tracer, PageSet inherited) {
    this.stub = stub;
    this.space = space;
    this.tracer = tracer;
    this.written = inherited;
    this.memory = ProcMem.open(stub.pid());
  }

  Stub stub() {
    return stub;
  }

  int space() {
    return space;
  }

  PageSet written() {
    return written;
  }

  /** What is mapped now; pages outside of it are gone. */
  void layout(List<Vma> vmas) {
    layout = vmas;
    tooNew = Optional.empty();
  }

  /** Throws when something could not be written. In the last round, whose layout is that of a process that stands still; before, what did not fit comes again. */
  void requireWritten() {
    tooNew.ifPresent(
        failure -> {
          throw failure;
        });
  }

  /** Nothing is mapped in this range any more, or something new. */
  void forget(long start, long end) {
    written.remove(start, end);
    drops.remove(start, end);
  }

  void write(long[] addresses, int[] pageCounts, int runCount, MemorySegment data) {
    if (!drops.isEmpty()) {
      flush();
    }
    int run = 0;
    long done = 0;
    while (run < runCount) {
      long wrote =
          ProcessVm.write(stub.pid(), addresses, pageCounts, (int) Mmap.PAGE, run, runCount - run, data.asSlice(done));
      long left = Math.max(0, wrote);
      while (run < runCount && left >= pageCounts[run] * Mmap.PAGE) {
        left -= pageCounts[run] * Mmap.PAGE;
        done += pageCounts[run] * Mmap.PAGE;
        run++;
      }
      if (run < runCount) {
        long bytes = pageCounts[run] * Mmap.PAGE;
        writeAnyway(addresses[run], data.asSlice(done, bytes));
        done += bytes;
        run++;
      }
    }
    for (run = 0; run < runCount; run++) {
      written.add(addresses[run], addresses[run] + pageCounts[run] * Mmap.PAGE);
    }
  }

  /**
   * Into mappings that are not writable for the process itself. A program that is just being loaded may have got other memory where a file was mapped when the
   * round began, also behind that file's end, where there is nothing to write to; the next round knows, and sends all of it.
   */
  private void writeAnyway(long address, MemorySegment data) {
    try {
      memory.write(address, data);
    } catch (KernelException e) {
      var mapping = layout.stream().filter(vma -> vma.start() <= address && address < vma.end()).findFirst();
      var failure =
          new CheckpointException(
              "writing " + data.byteSize() + " bytes at 0x" + Long.toHexString(address) + " of the process being built (" + stub.pid()
                  + ") failed, mapping: " + mapping + ": " + e.getMessage(),
              e);
      if (e.errno() != Errno.EIO || mapping.filter(Vma::backed).isEmpty()) {
        throw failure;
      }
      tooNew = Optional.of(failure);
    }
  }

  /** Makes pages read as zero. In anonymous memory they hold nothing afterwards; in file mappings they become private zeros. */
  void zero(long start, long end) {
    for (int i = Vma.firstEndingBehind(layout, start); i < layout.size() && layout.get(i).start() < end; i++) {
      var vma = layout.get(i);
      if (!vma.hasPrivatePages()) {
        continue;
      }
      long from = Math.max(start, vma.start());
      long to = Math.min(end, vma.end());
      if (vma.backed()) {
        writeZeros(from, to);
      } else if (vma.huge()) {
        // A part of a huge page cannot be dropped (man 2 madvise).
        written.intersect(from, to, this::writeZeros);
      } else {
        written.remove(
            from,
            to,
            (low, high) -> {
              drops.add(low, high);
              dropRuns++;
            });
      }
    }
    if (dropRuns >= DROPS_MAX) {
      flush();
    }
  }

  private void writeZeros(long start, long end) {
    for (long at = start; at < end; at += ZEROS.byteSize()) {
      long bytes = Math.min(ZEROS.byteSize(), end - at);
      write(new long[] {at}, new int[] {(int) (bytes / Mmap.PAGE)}, 1, ZEROS.asSlice(0, bytes));
    }
  }

  /** Drops what was collected. */
  void flush() {
    if (drops.isEmpty()) {
      return;
    }
    tracer.run(
        () -> {
          var calls = new StubCalls(stub);
          drops.forEach((start, end) -> calls.add("madvise(DONTNEED)", SyscallNumber.MADVISE, start, end - start, Mmap.MADV_DONTNEED));
          calls.run();
        });
    drops.clear();
    dropRuns = 0;
  }

  /** For reading back. */
  StubReader reader() {
    return new StubReader(stub.pid());
  }

  /** Reads pages of a stub without undoing the sharing between stubs. A page that cannot be read is zeros. */
  static final class StubReader implements PageReader, AutoCloseable {
    private final PagemapScan pagemap;
    private final ProcessPages pages;

    private StubReader(int pid) {
      pagemap = PagemapScan.open(pid);
      try {
        pages = new ProcessPages(pid, pagemap);
      } catch (CheckpointException e) {
        pagemap.close();
        throw e;
      }
    }

    void trustExclusive() {
      pages.trustExclusive();
    }

    @Override
    public void read(long[] addresses, int[] pageCounts, int runCount, MemorySegment destination) {
      pages.read(addresses, pageCounts, runCount, destination);
    }

    @Override
    public void close() {
      pages.close();
      pagemap.close();
    }
  }

  @Override
  public void close() {
    memory.close();
  }
}
