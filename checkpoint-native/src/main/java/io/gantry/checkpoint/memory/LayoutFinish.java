package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.image.mm_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.memory.StubProvider.Stub;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Gives the mappings of a stub their final protection, advice, locks and guards, and the address space the addresses that the kernel
 * keeps of it. After the last page. On the tracer thread.
 */
final class LayoutFinish {
  /** {@code struct prctl_mm_map}: eleven addresses, pointer to the auxiliary vector, its size, the program's descriptor. */
  private static final int MM_MAP_BYTES = 104;

  private LayoutFinish() {}

  static void finish(Stub stub, StubLayout layout, mm_entry mm) {
    var calls = new StubCalls(stub);
    for (var vma : layout.applied()) {
      // What is built with its final protection may have been kept from an earlier round, in which that was another one.
      boolean keptAsItWas = vma.shared() || vma.is(VmaStatus.NOT_ACCOUNTABLE);
      if (keptAsItWas || StubLayout.protWhileBuilding(vma) != vma.prot()) {
        calls.add("mprotect " + vma, SyscallNumber.MPROTECT, vma.start(), vma.bytes(), vma.prot());
      }
    }
    for (var vma : layout.applied()) {
      for (long left = vma.advice(); left != 0; left &= left - 1) {
        int advice = Long.numberOfTrailingZeros(left);
        if ((vma.flags() & Mmap.MAP_DROPPABLE) == 0 || advice != Mmap.MADV_WIPEONFORK && advice != Mmap.MADV_DONTDUMP) {
          calls.add("madvise(" + advice + ") " + vma, SyscallNumber.MADVISE, vma.start(), vma.bytes(), advice);
        }
      }
    }
    for (var entry : mm.getVmasList()) {
      if ((entry.getStatus() & VmaStatus.GUARD) != 0) {
        calls.add("madvise(GUARD_INSTALL)", SyscallNumber.MADVISE, entry.getStart(), entry.getEnd() - entry.getStart(), Mmap.MADV_GUARD_INSTALL);
      }
    }
    for (var vma : layout.applied()) {
      if ((vma.flags() & Mmap.MAP_LOCKED) != 0) {
        // Answers ENOMEM for memory without any access, and locks it all the same.
        int how = (vma.flags() & Mmap.LOCK_ON_FAULT) != 0 ? Mmap.MLOCK_ONFAULT : 0;
        calls.attempt("mlock2 " + vma, SyscallNumber.MLOCK2, vma.start(), vma.bytes(), how);
      }
    }
    calls.add("prctl(PR_SET_THP_DISABLE)", SyscallNumber.PRCTL, Mmap.PR_SET_THP_DISABLE, mm.getThpDisabled() ? 1 : 0, 0, 0, 0);
    calls.run();
    addresses(stub, layout.path(mm.getExeFileId()), mm);
  }

  /** Before: no mapping of the stub's own program is left, else the kernel answers EBUSY. */
  private static void addresses(Stub stub, String program, mm_entry mm) {
    var open = stub.newBatch();
    var descriptor =
        open.call("open(\"" + program + "\")", SyscallNumber.OPENAT, Fd.AT_FDCWD, open.string(program), Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
    stub.run(open);
    var batch = stub.newBatch();
    var vector = ByteBuffer.allocate(mm.getMmSavedAuxvCount() * 8).order(ByteOrder.LITTLE_ENDIAN);
    mm.getMmSavedAuxvList().forEach(vector::putLong);
    long vectorAt = batch.bytes(vector.array());
    var map =
        ByteBuffer.allocate(MM_MAP_BYTES)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(mm.getMmStartCode())
            .putLong(mm.getMmEndCode())
            .putLong(mm.getMmStartData())
            .putLong(mm.getMmEndData())
            .putLong(mm.getMmStartBrk())
            .putLong(mm.getMmBrk())
            .putLong(mm.getMmStartStack())
            .putLong(mm.getMmArgStart())
            .putLong(mm.getMmArgEnd())
            .putLong(mm.getMmEnvStart())
            .putLong(mm.getMmEnvEnd())
            .putLong(vectorAt)
            .putInt(vector.capacity())
            .putInt((int) descriptor.result());
    batch.call("prctl(PR_SET_MM_MAP)", SyscallNumber.PRCTL, Mmap.PR_SET_MM, Mmap.PR_SET_MM_MAP, batch.bytes(map.array()), MM_MAP_BYTES, 0);
    batch.call("close", SyscallNumber.CLOSE, descriptor.result());
    stub.run(batch);
  }
}
