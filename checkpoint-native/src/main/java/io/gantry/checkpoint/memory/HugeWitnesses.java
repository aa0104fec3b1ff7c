package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.linux.ProcessVm;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Finds huge pages of private memory that the process has dropped and touched again since they were sent. The kernel remembers
 * that such a page was protected and protects the new one, of zeros, as well ({@code mm/hugetlb.c}, {@code hugetlb_no_page}), so
 * no scan tells. But one that was sent with anything in it has had a small page that was not all zeros. One thread.
 */
final class HugeWitnesses {
  private static final int AT_ONCE = 256;

  private List<Vma> huge = List.of();
  /** By the first address of a huge page: the address of a small page of it that was not zero when it was read last. */
  private final TreeMap<Long, Long> witnesses = new TreeMap<>();

  /** What is mapped by now. */
  void watch(List<Vma> mappings) {
    huge = mappings.stream().filter(vma -> vma.huge() && vma.hasPrivatePages()).toList();
  }

  /** These pages were read to be sent. */
  void read(long[] addresses, int[] pageCounts, int runCount, MemorySegment content) {
    if (huge.isEmpty()) {
      return;
    }
    long at = 0;
    for (int run = 0; run < runCount; run++) {
      long end = addresses[run] + pageCounts[run] * Mmap.PAGE;
      for (long page = addresses[run]; page < end; page += Mmap.PAGE, at += Mmap.PAGE) {
        look(page, content.asSlice(at, Mmap.PAGE));
      }
    }
  }

  private void look(long page, MemorySegment content) {
    int i = Vma.firstEndingBehind(huge, page);
    if (i < huge.size() && huge.get(i).start() <= page) {
      long first = page & -HugePages.pageBytes(huge.get(i).status());
      if (!isZero(content)) {
        witnesses.put(first, page);
      } else if (witnesses.getOrDefault(first, -1L) == page) {
        witnesses.remove(first);
      }
    }
  }

  private static boolean isZero(MemorySegment page) {
    for (long at = 0; at < page.byteSize(); at += 8) {
      if (page.get(ValueLayout.JAVA_LONG_UNALIGNED, at) != 0) {
        return false;
      }
    }
    return true;
  }

  /** Tells about huge pages that were replaced, of those that are mapped. Of a process that stands still. */
  void replaced(int pid, PageSet sent, PageSet.Runs found) {
    for (var vma : huge) {
      var due = witnesses.subMap(vma.start(), vma.end()).entrySet().stream().filter(entry -> sent.contains(entry.getValue())).toList();
      for (int from = 0; from < due.size(); from += AT_ONCE) {
        replaced(pid, vma, due.subList(from, Math.min(due.size(), from + AT_ONCE)), found);
      }
    }
  }

  private static void replaced(int pid, Vma vma, List<Map.Entry<Long, Long>> due, PageSet.Runs found) {
    long[] addresses = due.stream().mapToLong(Map.Entry::getValue).toArray();
    int[] counts = new int[addresses.length];
    Arrays.fill(counts, 1);
    try (var arena = Arena.ofConfined()) {
      var content = arena.allocate(addresses.length * Mmap.PAGE, Mmap.PAGE);
      ProcessVm.read(pid, addresses, counts, (int) Mmap.PAGE, 0, addresses.length, content);
      // What cannot be read stays zero here, and is sent.
      for (int i = 0; i < addresses.length; i++) {
        if (isZero(content.asSlice(i * Mmap.PAGE, Mmap.PAGE))) {
          long first = due.get(i).getKey();
          found.run(first, Math.min(vma.end(), first + HugePages.pageBytes(vma.status())));
        }
      }
    }
  }
}
