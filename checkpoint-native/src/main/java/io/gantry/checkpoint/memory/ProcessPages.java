package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.linux.ProcMem;
import io.gantry.checkpoint.linux.ProcessVm;
import java.lang.foreign.MemorySegment;

/**
 * Reads pages of one process, whatever their protection. A page that vanished while the process ran reads as zero and is
 * remembered, so that it is looked at again. One thread.
 */
final class ProcessPages implements PageReader, AutoCloseable {
  private final int pid;
  private final ProcMem memory;
  private final PageSet vanished = new PageSet();

  ProcessPages(int pid) {
    this.pid = pid;
    this.memory = ProcMem.open(pid);
  }

  /** Pages that could not be read since the last time they were cleared. */
  PageSet vanished() {
    return vanished;
  }

  @Override
  public void read(long[] addresses, int[] pageCounts, int runCount, MemorySegment destination) {
    int run = 0;
    long done = 0;
    while (run < runCount) {
      long read = ProcessVm.read(pid, addresses, pageCounts, (int) Mmap.PAGE, run, runCount - run, destination.asSlice(done));
      long left = Math.max(0, read);
      while (run < runCount && left >= pageCounts[run] * Mmap.PAGE) {
        left -= pageCounts[run] * Mmap.PAGE;
        done += pageCounts[run] * Mmap.PAGE;
        run++;
      }
      if (run < runCount) {
        // This run has no read permission, or is gone: process_vm_readv stops in front of it.
        long bytes = pageCounts[run] * Mmap.PAGE;
        readAnyway(addresses[run], destination.asSlice(done, bytes));
        done += bytes;
        run++;
      }
    }
  }

  private void readAnyway(long address, MemorySegment destination) {
    long bytes = destination.byteSize();
    long read = memory.tryRead(address, destination);
    if (read == bytes) {
      return;
    }
    for (long at = 0; at < bytes; at += Mmap.PAGE) {
      var page = destination.asSlice(at, Mmap.PAGE);
      if (memory.tryRead(address + at, page) != Mmap.PAGE) {
        page.fill((byte) 0);
        vanished.add(address + at, address + at + Mmap.PAGE);
      }
    }
  }

  @Override
  public void close() {
    memory.close();
  }
}
