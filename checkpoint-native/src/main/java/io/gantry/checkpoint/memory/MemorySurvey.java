package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.Holding;
import io.gantry.checkpoint.ipc.ContainerIpc;
import io.gantry.checkpoint.procfs.Maps.Mapping;
import io.gantry.checkpoint.procfs.ProcessGoneException;
import io.gantry.checkpoint.procfs.VmFlags;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** What kinds of memory processes have, from outside. Reads {@code smaps}: not for the freeze. */
public final class MemorySurvey {
  private static final int ALL_ACCESS = 7;

  private MemorySurvey() {}

  /** How each kind moves; in the order of {@link #of}. */
  private enum Kind {
    ANONYMOUS("private memory", "its pages travel while the program runs; copies shared with relatives stay shared"),
    RESERVED("reserved addresses", "are reserved again (PROT_NONE)"),
    FILE_PRIVATE("private file mapping", "the file is mapped again by its path; changed pages travel"),
    FILE_SHARED("shared file mapping", "the file is mapped again by its path, and its content is the file system's"),
    DELETED("mapping of a deleted file", "the file's content travels, and it stays deleted"),
    SHARED("shared memory", "its pages travel once for all processes that map it"),
    MEMFD("memfd mapping", "its pages travel once for all processes that map it"),
    SHM_FILE("mapping of a file in /dev/shm", "its pages travel once for all processes that map it, and the file keeps its name"),
    HUGE("memory of reserved huge pages", "its pages travel; the destination must have as many huge pages free"),
    AIO("AIO context", "it is set up again at its address with the events that wait; requests in flight are waited for"),
    SEGMENT("System V segment", "its pages travel once for all processes that attach it"),
    KERNEL("vdso", "the destination's own is put at the same address; both must be equal");

    private final String word;
    private final String how;

    Kind(String word, String how) {
      this.word = word;
      this.how = how;
    }
  }

  /**
   * Counts the mappings of processes by kind.
   *
   * @param pids as the host counts; those that have ended are left out
   */
  public static List<Holding> of(List<Integer> pids) {
    Map<Kind, Integer> counts = new TreeMap<>();
    Map<String, Integer> refused = new TreeMap<>();
    for (int pid : pids) {
      try {
        var flags = VmFlags.read(pid);
        boolean ownIpc = ContainerIpc.isOwn(pid);
        for (var mapping : flags.mappings()) {
          boolean ownShm = UnsupportedMemory.isInOwnShm(pid, mapping);
          var reason = UnsupportedMemory.reason(pid, mapping, Math.max(0, flags.of(mapping.start(), mapping.end())), ownIpc, ownShm);
          if (reason.isPresent()) {
            refused.merge(reason.get()[0], 1, Integer::sum);
          } else if (!mapping.name().equals("[vsyscall]")) {
            boolean huge = (Math.max(0, flags.of(mapping.start(), mapping.end())) & VmFlags.HUGE_TLB) != 0;
            counts.merge(ownShm ? Kind.SHM_FILE : huge ? Kind.HUGE : kind(mapping), 1, Integer::sum);
          }
        }
      } catch (ProcessGoneException ended) {
        // It will not be moved.
      }
    }
    var found = new java.util.ArrayList<Holding>();
    counts.forEach((kind, count) -> found.add(Holding.of("memory", kind.word, count, kind.how)));
    refused.forEach((kind, count) -> found.add(Holding.of("memory", kind, count, "")));
    return found;
  }

  private static Kind kind(Mapping mapping) {
    String name = mapping.name();
    if (name.equals("[vdso]") || name.startsWith("[vvar")) {
      return Kind.KERNEL;
    }
    if (name.startsWith(AioRing.NAME)) {
      return Kind.AIO;
    }
    if (name.startsWith(AddressSpaceReader.MEMFD)) {
      return Kind.MEMFD;
    }
    if (name.equals(AddressSpaceReader.SHARED_ANONYMOUS)) {
      return Kind.SHARED;
    }
    if (name.startsWith(AddressSpaceReader.SEGMENT) && mapping.shared()) {
      return Kind.SEGMENT;
    }
    if (mapping.inode() != 0) {
      if (name.endsWith(AddressSpaceReader.DELETED)) {
        return Kind.DELETED;
      }
      return mapping.shared() ? Kind.FILE_SHARED : Kind.FILE_PRIVATE;
    }
    return (mapping.prot() & ALL_ACCESS) == 0 ? Kind.RESERVED : Kind.ANONYMOUS;
  }
}
