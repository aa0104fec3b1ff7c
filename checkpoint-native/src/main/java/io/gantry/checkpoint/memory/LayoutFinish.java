package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.image.VmaStatus;
import io.gantry.checkpoint.image.mm_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.memory.StubProvider.Stub;
import io.gantry.checkpoint.procfs.MmFields;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.Together;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Optional;

/**
 * Gives the mappings of a stub their final protection, advice, locks, guards and seals, and the address space the addresses that the kernel
 * keeps of it. After the last page. On the tracer thread.
 */
final class LayoutFinish {
  /** {@code struct prctl_mm_map}: eleven addresses, pointer to the auxiliary vector, its size, the program's descriptor. */
  private static final int MM_MAP_BYTES = 104;

  /** {@code prctl_mm_map.exe_fd}: all bits set leaves the program as it is. */
  private static final int KEEP_PROGRAM = -1;

  private final Stub stub;
  private final StubLayout layout;
  private final mm_entry mm;
  private final DeletedFiles deletedFiles;
  /** The program, which the stub opens itself unless it has no name any more. */
  private Optional<CallBatch.Call> opened = Optional.empty();

  private LayoutFinish(Stub stub, StubLayout layout, mm_entry mm, DeletedFiles deletedFiles) {
    this.stub = stub;
    this.layout = layout;
    this.mm = mm;
    this.deletedFiles = deletedFiles;
  }

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

  /** One address space that is to be finished. */
  record Wanted(Stub stub, StubLayout layout, mm_entry mm) {}

  /** Several at the same time; two batches for each, unless it has a great many mappings. */
  static void finish(List<Wanted> all, DeletedFiles deletedFiles) {
    var finishing = all.stream().map(one -> new LayoutFinish(one.stub(), one.layout(), one.mm(), deletedFiles)).toList();
    var together = new Together(Together.USUALLY);
    finishing.forEach(one -> one.mappings(together));
    together.finish();
    finishing.forEach(one -> one.addresses(together));
    together.finish();
  }

  private void mappings(Together together) {
    var calls = new StubCalls(stub.task());
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
    var program = layout.file(mm.getExeFileId());
    if (!program.hasDeleted()) {
      String name = program.getName();
      var batch = calls.room(1, name.length() * 3 + 16);
      long path = batch.string(name);
      int flags = Fd.O_RDONLY | Fd.O_CLOEXEC;
      opened = Optional.of(batch.call("open(\"" + name + "\")", SyscallNumber.OPENAT, Fd.AT_FDCWD, path, flags, 0));
    }
    calls.run(together);
  }

  private int program() {
    if (opened.isPresent()) {
      return (int) opened.get().result();
    }
    try (var gift = new DescriptorGift(stub)) {
      return gift.give(deletedFiles.program(layout.file(mm.getExeFileId())));
    }
  }

  /** Before: no mapping of the stub's own program is left, else the kernel answers EBUSY. */
  private void addresses(Together together) {
    int program = program();
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
    batch.call("close", SyscallNumber.CLOSE, program);
    together.add(stub.task(), batch);
  }
}
