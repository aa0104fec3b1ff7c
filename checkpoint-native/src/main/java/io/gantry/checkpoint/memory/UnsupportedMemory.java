package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.ipc.ContainerIpc;
import io.gantry.checkpoint.procfs.Link;
import io.gantry.checkpoint.procfs.Maps;
import io.gantry.checkpoint.procfs.Maps.Mapping;
import io.gantry.checkpoint.procfs.ProcessGoneException;
import io.gantry.checkpoint.procfs.TaskStat;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.procfs.VmFlags;
import io.gantry.checkpoint.shm.ContainerShm;
import java.nio.file.NoSuchFileException;
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
    boolean ownIpc = ContainerIpc.isOwn(pid);
    for (var mapping : Maps.read(pid)) {
      if (mapping.name().equals("[vsyscall]")) {
        continue;
      }
      reason(pid, mapping, Math.max(0, flags.of(mapping.start(), mapping.end())), ownIpc, isInOwnShm(pid, mapping))
          .ifPresent(
              reason ->
                  findings.add(
                      new Finding(pid, -1, reason[0], "mapping " + mapping.link() + " (" + mapping.name() + ") " + reason[1])));
    }
    Link.read(pid, "exe")
        .filter(name -> name.endsWith(AddressSpaceReader.DELETED))
        .flatMap(name -> MappedDeletedFile.obstacle(pid, "exe", name))
        .ifPresent(reason -> findings.add(new Finding(pid, -1, "deleted program", "the program it runs " + reason)));
    return findings;
  }

  /** Whether it shows a file of the container's own {@code /dev/shm}, which needs no name. */
  static boolean isInOwnShm(int pid, Mapping mapping) {
    return ContainerShm.mayHold(mapping.name()) && ContainerShm.of(pid).filter(own -> own.holds(mapping)).isPresent();
  }

  /**
   * Kind and sentence, when it cannot be carried.
   *
   * @param ownIpc whether the process is in an ipc namespace of its own
   * @param ownShm {@link #isInOwnShm}
   */
  static Optional<String[]> reason(int pid, Mapping mapping, long bits, boolean ownIpc, boolean ownShm) {
    String name = mapping.name();
    boolean kernel = name.equals("[vdso]") || name.startsWith("[vvar");
    if (kernel && has(bits, VmFlags.SEALED)) {
      return found("sealed mapping", "is sealed by the kernel and cannot be placed at the same address elsewhere; start the kernel without sealed system mappings");
    }
    if (kernel) {
      return Optional.empty();
    }
    if (has(bits, VmFlags.HUGE_TLB)) {
      return hugePages(name);
    }
    if (has(bits, VmFlags.SHADOW_STACK)) {
      return found("shadow stack", "belongs to the CPU's shadow stack; run the program with glibc.cpu.x86_shstk=off");
    }
    if (name.startsWith(AioRing.NAME)) {
      return isInherited(pid, mapping)
          ? found(
              "AIO context",
              "is the ring of a context of its parent's, inherited by fork(2), and cannot be had elsewhere; let it unmap that or call exec")
          : Optional.empty();
    }
    if (name.startsWith("anon_inode:") || name.startsWith("socket:") || name.startsWith("/anon_inode:")) {
      return found(name.contains("io_uring") ? "io_uring" : "kernel object mapping", "maps a kernel object, not memory or a file");
    }
    if (name.startsWith("/secretmem")) {
      return found("secret memory", "is memfd_secret(2) memory, which nobody but the process can read");
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
    if (name.startsWith(AddressSpaceReader.SEGMENT) && mapping.shared()) {
      return ownIpc
          ? Optional.empty()
          : found("SysV shared memory", "is a shmget(2) segment of the host's ipc namespace; in a container's own it can be carried");
    }
    boolean memory = name.startsWith(AddressSpaceReader.MEMFD) || name.equals(AddressSpaceReader.SHARED_ANONYMOUS);
    if (!memory && !ownShm && mapping.inode() != 0 && name.endsWith(AddressSpaceReader.DELETED)) {
      return MappedDeletedFile.obstacle(pid, "map_files/" + mapping.link(), name).flatMap(sentence -> found("deleted file", sentence));
    }
    return Optional.empty();
  }

  private static Optional<String[]> hugePages(String name) {
    if (name.startsWith(HugePages.ANONYMOUS) || name.startsWith(AddressSpaceReader.MEMFD)) {
      return Optional.empty();
    }
    return found(
        "hugetlb memory",
        (name.startsWith(AddressSpaceReader.SEGMENT)
                ? "is a segment of reserved huge pages (SHM_HUGETLB)"
                : "is a file of a hugetlbfs mount, whose content no other host has")
            + "; memory of mmap(MAP_HUGETLB) and memfd_create(MFD_HUGETLB) can be carried");
  }

  /** Each ring is a file of its own. The parent of a pid namespace's first process is somebody else's, and may be nobody's to look at. */
  private static boolean isInherited(int pid, Mapping ring) {
    try {
      int parent = TaskStat.ofProcess(pid).parent();
      return parent != 0
          && TaskStatus.ofProcess(pid).innermost("NSpid") != 1
          && Maps.read(parent).stream().anyMatch(other -> other.name().startsWith(AioRing.NAME) && other.inode() == ring.inode());
    } catch (NoSuchFileException | ProcessGoneException ended) {
      return false;
    }
  }

  private static boolean has(long bits, long any) {
    return (bits & any) != 0;
  }

  private static Optional<String[]> found(String kind, String sentence) {
    return Optional.of(new String[] {kind, sentence});
  }
}
