package io.gantry.checkpoint.image;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.LongUnaryOperator;

/** Mappings as CRIU's {@code mm-PID.img} has them. */
final class VmaImages {
  /** All that CRIU 4.1.1 writes into an image. */
  private static final int KNOWN = 0xffff;

  /** What has no pages in a pages file. */
  static final int WITHOUT_PAGES = VmaStatus.VVAR | VmaStatus.VSYSCALL | VmaStatus.GUARD;

  /** {@code AT_VECTOR_SIZE} ({@code criu/include/image.h}). */
  private static final int AUXILIARY_WORDS_MAX = 44;

  private static final int MAP_KNOWN = 0x0f_ffff;
  private static final int MAP_ANONYMOUS = 0x20;

  private VmaImages() {}

  /** The kernel's code in an address space, which CRIU saves like the process's own. */
  static Optional<vma_entry> vdso(mm_entry mm) {
    return mm.getVmasList().stream().filter(vma -> (vma.getStatus() & VmaStatus.VDSO) != 0).findFirst();
  }

  /**
   * @param memfdFile number of an open file for a memory file whose inode number is given
   * @return by address; what CRIU has no word for is left out
   */
  static mm_entry forCriu(mm_entry mm, int dumpable, LongUnaryOperator memfdFile) {
    var vmas = new ArrayList<vma_entry>();
    for (vma_entry vma : mm.getVmasList()) {
      if ((vma.getStatus() & VmaStatus.GUARD) == 0) {
        vmas.add(forCriu(vma, memfdFile));
      }
    }
    vmas.sort(Comparator.comparing(vma_entry::getStart, Long::compareUnsigned));
    return mm.toBuilder()
        .clearVmas()
        .addAllVmas(joined(vmas))
        .setDumpable(dumpable)
        .clearMmSavedAuxv()
        .addAllMmSavedAuxv(mm.getMmSavedAuxvList().subList(0, auxiliaryWords(mm)))
        .build();
  }

  /** Without the pair of zeros at the end, which CRIU has no room for. */
  private static int auxiliaryWords(mm_entry mm) {
    int words = mm.getMmSavedAuxvCount();
    while (words >= 2 && mm.getMmSavedAuxv(words - 2) == 0) {
      words -= 2;
    }
    return Math.min(words, AUXILIARY_WORDS_MAX);
  }

  private static vma_entry forCriu(vma_entry vma, LongUnaryOperator memfdFile) {
    var entry = vma.toBuilder().setStatus(vma.getStatus() & KNOWN).setFlags(vma.getFlags() & MAP_KNOWN);
    if ((vma.getStatus() & (VmaStatus.VDSO | VmaStatus.VVAR)) != 0) {
      entry.setStatus(entry.getStatus() | VmaStatus.ANON_PRIVATE).setFlags(entry.getFlags() | MAP_ANONYMOUS).clearFdflags();
    } else if ((vma.getStatus() & VmaStatus.MEMFD) != 0) {
      entry.setShmid(memfdFile.applyAsLong(vma.getShmid()));
    } else if ((vma.getStatus() & (VmaStatus.FILE_PRIVATE | VmaStatus.FILE_SHARED)) == 0) {
      entry.clearFdflags();
    }
    return entry.build();
  }

  /** The kernel shows the page of its variables and that of clocks as two mappings, CRIU knows one. */
  private static List<vma_entry> joined(List<vma_entry> vmas) {
    var joined = new ArrayList<vma_entry>();
    for (vma_entry vma : vmas) {
      boolean variables = (vma.getStatus() & VmaStatus.VVAR) != 0 && !joined.isEmpty();
      if (variables && (joined.getLast().getStatus() & VmaStatus.VVAR) != 0 && joined.getLast().getEnd() == vma.getStart()) {
        joined.add(joined.removeLast().toBuilder().setEnd(vma.getEnd()).build());
      } else {
        joined.add(vma);
      }
    }
    return joined;
  }
}
