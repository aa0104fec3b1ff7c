package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.image.VmaStatus;
import io.gantry.checkpoint.image.aio_ring_entry;
import io.gantry.checkpoint.image.mm_entry;
import io.gantry.checkpoint.procfs.MmFields;
import java.util.ArrayList;
import java.util.List;

/**
 * The layout of one address space at one moment.
 *
 * @param vmas by address
 * @param fields what else the kernel keeps of it
 * @param exeFile number of the program file
 */
record AddressSpace(List<Vma> vmas, MmFields fields, int exeFile) {
  /** @param brk end of the heap, to the byte; @param guards ranges of guard markers; @param rings of AIO contexts */
  mm_entry toEntry(long brk, List<Vma> guards, List<aio_ring_entry> rings) {
    var entry =
        mm_entry.newBuilder()
            .setMmStartCode(fields.startCode())
            .setMmEndCode(fields.endCode())
            .setMmStartData(fields.startData())
            .setMmEndData(fields.endData())
            .setMmStartStack(fields.startStack())
            .setMmStartBrk(fields.startBrk())
            .setMmBrk(brk)
            .setMmArgStart(fields.argStart())
            .setMmArgEnd(fields.argEnd())
            .setMmEnvStart(fields.envStart())
            .setMmEnvEnd(fields.envEnd())
            .setExeFileId(exeFile)
            .addAllMmSavedAuxv(fields.auxiliaryVector())
            .addAllAios(rings)
            .setThpDisabled(fields.hugePagesDisabled());
    vmas.forEach(vma -> entry.addVmas(vma.toEntry()));
    guards.forEach(guard -> entry.addVmas(guard.toEntry()));
    return entry.build();
  }

  /** End of the heap as far as mappings tell, that is, up to a page too high. */
  long brkByMapping() {
    long end = fields.startBrk();
    for (var vma : vmas) {
      if (vma.is(VmaStatus.HEAP)) {
        end = Math.max(end, vma.end());
      }
    }
    return end;
  }

  /** The same mappings with neighbours joined that the kernel would join; what write tracking has split is whole again. */
  static List<Vma> joined(List<Vma> vmas) {
    var joined = new ArrayList<Vma>(vmas.size());
    for (var vma : vmas) {
      if (!joined.isEmpty() && joined.getLast().mergesWith(vma)) {
        var last = joined.removeLast();
        joined.add(
            new Vma(last.start(), vma.end(), last.offset(), last.object(), last.prot(), last.flags(), last.status(), last.advice(), last.openFlags()));
      } else {
        joined.add(vma);
      }
    }
    return joined;
  }
}
