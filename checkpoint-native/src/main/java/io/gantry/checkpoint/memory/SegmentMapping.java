package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.SystemV;
import java.util.function.LongUnaryOperator;

/**
 * How a stub gets a mapping of a segment: {@code shmat(2)} maps all of it, so what the program has unmapped of that is unmapped again. Each
 * mapping counts as one attachment, as it did at the source.
 */
final class SegmentMapping {
  private SegmentMapping() {}

  /** @param free finds room for so many bytes; called when everything collected so far has been done */
  static void attach(StubCalls calls, Vma vma, SharedArrival segment, LongUnaryOperator free) {
    long whole = (segment.bytes() + Mmap.PAGE - 1) & -Mmap.PAGE;
    long flags = (vma.openFlags() == Fd.O_RDONLY ? SystemV.SHM_RDONLY : 0) | ((vma.prot() & Mmap.PROT_EXEC) != 0 ? SystemV.SHM_EXEC : 0);
    String what = "shmat(" + segment.segment() + ") " + vma;
    if (vma.bytes() == whole) {
      calls.add(what, SyscallNumber.SHMAT, segment.segment(), vma.start(), flags);
      return;
    }
    calls.run();
    long place = free.applyAsLong(whole);
    long piece = place + vma.offset();
    calls.add(what, SyscallNumber.SHMAT, segment.segment(), place, flags);
    calls.add(
        "mremap " + vma, SyscallNumber.MREMAP, piece, vma.bytes(), vma.bytes(), Mmap.MREMAP_MAYMOVE | Mmap.MREMAP_FIXED, vma.start());
    unmap(calls, place, piece);
    unmap(calls, piece + vma.bytes(), place + whole);
    calls.run();
  }

  private static void unmap(StubCalls calls, long start, long end) {
    if (start < end) {
      calls.add("munmap", SyscallNumber.MUNMAP, start, end - start);
    }
  }
}
