package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.Footprint.HugePageUse;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.ProcessGoneException;
import io.gantry.checkpoint.procfs.VmFlags;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/** Reserved huge pages: how many processes need, and whether this host has them. Reads {@code smaps}: not for the freeze. */
public final class HugePageNeeds {
  /** {@code Documentation/admin-guide/mm/hugetlbpage.rst}. */
  private static final Path POOLS = Path.of("/sys/kernel/mm/hugepages");

  private record HugeFile(long device, long inode) {}

  private HugePageNeeds() {}

  /**
   * What all mappings of these processes can hold; what several have counts once. Memory files that nobody has mapped are left
   * out.
   *
   * @param pids as the host counts; those that have ended are left out
   */
  public static List<HugePageUse> of(Collection<Integer> pids) {
    Set<HugeFile> seen = new HashSet<>();
    var bytes = new TreeMap<Long, Long>();
    for (int pid : pids) {
      try {
        var flags = VmFlags.read(pid);
        for (var mapping : flags.mappings()) {
          if ((Math.max(0, flags.of(mapping.start(), mapping.end())) & VmFlags.HUGE_TLB) != 0) {
            // Of anonymous memory it is the mapping that made it.
            FileStatus.of("/proc/" + pid + "/map_files/" + mapping.link())
                .filter(file -> seen.add(new HugeFile(file.device(), file.inode())))
                .ifPresent(file -> bytes.merge(file.blockBytes(), file.size(), Long::sum));
          }
        }
      } catch (ProcessGoneException ended) {
        // It will not be moved.
        continue;
      }
    }
    var needs = new ArrayList<HugePageUse>();
    bytes.forEach((pageBytes, all) -> needs.add(new HugePageUse(pageBytes, Math.ceilDiv(all, pageBytes))));
    return needs;
  }

  /** Why this host cannot provide them; empty when it can. */
  public static List<String> obstacles(List<HugePageUse> needs) {
    return needs.stream().flatMap(need -> obstacle(need, available(need.pageBytes())).stream()).toList();
  }

  static Optional<String> obstacle(HugePageUse need, long available) {
    return need.count() <= available
        ? Optional.empty()
        : Optional.of(
            "the container needs %d huge pages of %d kB, and this host has %d that are neither in use nor reserved; raise vm.nr_hugepages"
                .formatted(need.count(), need.pageBytes() >> 10, available));
  }

  /** Those that are free and not promised to anybody, and those that the kernel may make when they are wanted. */
  private static long available(long pageBytes) {
    String pool = POOLS + "/hugepages-" + (pageBytes >> 10) + "kB/";
    try {
      return Math.max(0, number(pool + "free_hugepages") - number(pool + "resv_hugepages"))
          + Math.max(0, number(pool + "nr_overcommit_hugepages") - number(pool + "surplus_hugepages"));
    } catch (NoSuchFileException none) {
      return 0;
    }
  }

  private static long number(String path) throws NoSuchFileException {
    return Long.parseLong(ProcText.read(path).strip());
  }
}
