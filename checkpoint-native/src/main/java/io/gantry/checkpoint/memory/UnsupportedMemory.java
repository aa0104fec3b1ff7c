package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.procfs.Maps;
import io.gantry.checkpoint.procfs.Maps.Mapping;
import io.gantry.checkpoint.procfs.VmFlags;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Looks for mappings that cannot be carried, without touching the process. Reads {@code smaps}: not for the freeze. */
public final class UnsupportedMemory {
  private UnsupportedMemory() {}

  /** Every reason in this process's mappings; to be asked before write tracking has begun. */
  public static List<Finding> of(int pid) {
    var findings = new ArrayList<Finding>();
    var flags = VmFlags.read(pid);
    for (var mapping : Maps.read(pid)) {
      if (mapping.name().equals("[vsyscall]")) {
        continue;
      }
      reason(mapping, Math.max(0, flags.of(mapping.start(), mapping.end())))
          .ifPresent(
              reason ->
                  findings.add(
                      new Finding(pid, -1, reason[0], "mapping " + mapping.link() + " (" + mapping.name() + ") " + reason[1])));
    }
    return findings;
  }

  private static Optional<String[]> reason(Mapping mapping, long bits) {
    String name = mapping.name();
    boolean kernel = name.equals("[vdso]") || name.startsWith("[vvar");
    if (has(bits, VmFlags.SEALED)) {
      return found("sealed mapping", "is sealed by mseal(2) and cannot be placed at the same address elsewhere");
    }
    if (kernel) {
      return Optional.empty();
    }
    if (has(bits, VmFlags.HUGE_TLB) || name.startsWith("/anon_hugepage")) {
      return found("hugetlb memory", "uses reserved huge pages; transparent huge pages (madvise MADV_HUGEPAGE) can be carried");
    }
    if (has(bits, VmFlags.SHADOW_STACK)) {
      return found("shadow stack", "belongs to the CPU's shadow stack; run the program with glibc.cpu.x86_shstk=off");
    }
    if (name.startsWith("/[aio]")) {
      return found("AIO context", "is the ring of io_setup(2), whose requests only this kernel knows");
    }
    if (name.startsWith("anon_inode:") || name.startsWith("socket:") || name.startsWith("/anon_inode:")) {
      return found(name.contains("io_uring") ? "io_uring" : "kernel object mapping", "maps a kernel object, not memory or a file");
    }
    if (name.startsWith("/secretmem")) {
      return found("secret memory", "is memfd_secret(2) memory, which nobody but the process can read");
    }
    if (name.startsWith("/SYSV")) {
      return found("SysV shared memory", "is a shmget(2) segment; POSIX or anonymous shared memory can be carried");
    }
    if (name.equals("[uprobes]")) {
      return found("uprobes", "was put there by a tracer of the kernel; remove the probe");
    }
    if (has(bits, VmFlags.IO | VmFlags.PFN_MAP | VmFlags.MIXED_MAP)) {
      return found("device memory", "maps a device");
    }
    if (has(bits, VmFlags.USERFAULT_MISSING | VmFlags.USERFAULT_WRITE_PROTECT | VmFlags.USERFAULT_MINOR)) {
      return found("userfaultfd", "is registered with a userfaultfd of the program itself");
    }
    boolean memory = name.startsWith(AddressSpaceReader.MEMFD) || name.equals(AddressSpaceReader.SHARED_ANONYMOUS);
    if (!memory && mapping.inode() != 0 && name.endsWith(AddressSpaceReader.DELETED)) {
      return found("deleted file", "maps a file that was deleted or replaced, so the destination cannot map it; restart the program");
    }
    return Optional.empty();
  }

  private static boolean has(long bits, long any) {
    return (bits & any) != 0;
  }

  private static Optional<String[]> found(String kind, String sentence) {
    return Optional.of(new String[] {kind, sentence});
  }
}
