package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.image.VmaStatus;
import io.gantry.checkpoint.image.mapped_file;
import io.gantry.checkpoint.image.mm_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.memory.StubProvider.Stub;
import io.gantry.checkpoint.procfs.MmFields;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Gives the mappings of a stub their final protection, advice, locks, guards and seals, and the address space the addresses that the kernel
 * keeps of it. After the last page. On the tracer thread.
 */
final class LayoutFinish {
  /** {@code struct prctl_mm_map}: eleven addresses, pointer to the auxiliary vector, its size, the program's descriptor. */
  private static final int MM_MAP_BYTES = 104;

  /** {@code prctl_mm_map.exe_fd}: all bits set leaves the program as it is. */
  private static final int KEEP_PROGRAM = -1;

  private LayoutFinish() {}

  /**
   * Takes the stub's own program out of what the kernel shows as its arguments and environment, while that program is still there. Else whoever lists the
   * host's processes meanwhile makes the kernel read where they were: where nothing is any more, and where the kernel lets a stack that lies above it
   * grow down to ({@code __access_remote_vm} in {@code mm/memory.c}).
   */
  static void forgetArguments(Stub stub) {
    var own = MmFields.read(stub.pid());
    long nothing = own.startStack();
    var batch = stub.newBatch();
    var map =
        ByteBuffer.allocate(MM_MAP_BYTES)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(own.startCode())
            .putLong(own.endCode())
            .putLong(own.startData())
            .putLong(own.endData())
            .putLong(own.startBrk())
            .putLong(own.startBrk())
            .putLong(own.startStack())
            .putLong(nothing)
            .putLong(nothing)
            .putLong(nothing)
            .putLong(nothing)
            .putLong(0)
            .putInt(0)
            .putInt(KEEP_PROGRAM);
    batch.call(
        "prctl(PR_SET_MM_MAP, no arguments)", SyscallNumber.PRCTL, Mmap.PR_SET_MM, Mmap.PR_SET_MM_MAP, batch.bytes(map.array()), MM_MAP_BYTES, 0);
    stub.run(batch);
  }

  static void finish(Stub stub, StubLayout layout, mm_entry mm, DeletedFiles deletedFiles) {
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
    // Behind everything that changes a mapping.
    for (var vma : layout.applied()) {
      if ((vma.flags() & Mmap.SEALED) != 0) {
        calls.add("mseal " + vma, SyscallNumber.MSEAL, vma.start(), vma.bytes(), 0);
      }
    }
    calls.add("prctl(PR_SET_THP_DISABLE)", SyscallNumber.PRCTL, Mmap.PR_SET_THP_DISABLE, mm.getThpDisabled() ? 1 : 0, 0, 0, 0);
    calls.run();
    int program = open(stub, layout.file(mm.getExeFileId()), deletedFiles);
    addresses(stub, program, mm);
    stub.call("close", SyscallNumber.CLOSE, program);
  }

  /** Opens the program in the stub. */
  private static int open(Stub stub, mapped_file program, DeletedFiles deletedFiles) {
    if (program.hasDeleted()) {
      int ours = deletedFiles.program(program);
      try (var gift = new DescriptorGift(stub)) {
        return gift.give(ours);
      }
    }
    var open = stub.newBatch();
    var descriptor =
        open.call(
            "open(\"" + program.getName() + "\")", SyscallNumber.OPENAT, Fd.AT_FDCWD, open.string(program.getName()), Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
    stub.run(open);
    return (int) descriptor.result();
  }

  /** Before: no mapping of the stub's own program is left, else the kernel answers EBUSY. */
  private static void addresses(Stub stub, int program, mm_entry mm) {
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
            .putInt(program);
    batch.call("prctl(PR_SET_MM_MAP)", SyscallNumber.PRCTL, Mmap.PR_SET_MM, Mmap.PR_SET_MM_MAP, batch.bytes(map.array()), MM_MAP_BYTES, 0);
    stub.run(batch);
  }
}
